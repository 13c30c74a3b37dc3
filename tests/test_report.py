"""The report stage, run on made-up results of real images: no training is needed for it."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stages.core.dataset import Split, split_path
from stages.core.files import write_tensors
from stages.core.params import MODELS
from stages.evaluation.activations import BLOCKS, NUM_BINS, Observed, write_activations
from stages.evaluation.metrics import Metrics, metrics_path, write_metrics
from stages.evaluation.predictions import Predictions, predictions_path, write_predictions
from stages.model.history import Epoch, history_path, write_history
from stages.model.scoring import Score
from tests.conftest import ROOT, with_param

HOSTILE = """\
backend: tkagg
figure.dpi: 300
font.size: 30
lines.markersize: 20
savefig.bbox: tight
savefig.facecolor: red
svg.fonttype: none
text.usetex: True
"""


@pytest.fixture
def folder(tmp_path: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the report stage reads, where the models make 40, 30 and 50 errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/seeds.csv").write_text("model,seed,test_accuracy,train_accuracy,recipe\n")
    shutil.copytree(ROOT / "data", "data", ignore=shutil.ignore_patterns("raw", "prepared"))
    text = (ROOT / "params.yaml").read_text()
    for key, value in {"epochs": 3, "validation_images": 0, "dots_per_inch": 50}.items():
        text = with_param(text, key, value)
    Path("params.yaml").write_text(text)
    tensors = {"images": test_split.images, "labels": test_split.labels}
    write_tensors(split_path(Path("data/prepared"), "test"), tensors, {"split": "test"})
    for model, errors in zip(MODELS, (40, 30, 50), strict=True):
        _make_up(model, test_split.labels, errors)
    return tmp_path


def _make_up(
    model: str, labels: torch.Tensor, errors: int, test_loss: float = 0.02, train: float = 0.998
) -> None:
    """Write what training and evaluation would have left of a ``model`` with these ``errors``."""
    predicted = labels.long().clone()
    predicted[:errors] = (predicted[:errors] + 1) % 10
    logits = torch.nn.functional.one_hot(predicted, 10).float() * 8
    logits[:errors] *= torch.linspace(0.2, 1, errors)[:, None]
    write_predictions(predictions_path(model), Predictions(logits, {"torch": "2"}))
    accuracy = round(1 - errors / len(labels), 6)
    gap = round(train - accuracy, 6)
    write_metrics(metrics_path(model), Metrics(accuracy, test_loss, train, 0.01, gap, errors, 8880))
    epochs = [
        Epoch(i, 0.1 / i, Score(0.2 / i, 1 - 0.1 / i), Score(0.1 / i, accuracy), "test")
        for i in (1, 2, 3)
    ]
    write_history(history_path(model), epochs)
    write_activations(model, {block: _observed(MODELS[model] == "batch") for block in BLOCKS})


def _observed(has_running_statistics: bool) -> Observed:
    shares = torch.full((NUM_BINS,), 1 / NUM_BINS)
    return Observed(
        torch.linspace(-3, 5, NUM_BINS + 1),
        *(shares, shares.clone()),
        *(torch.linspace(0.5, 1, 8) for _ in range(2)),
        *(torch.linspace(0.5, 1, 8 * has_running_statistics) for _ in range(2)),
    )


def _report(folder: Path, **environment: str) -> dict[str, str]:
    """Run the stage; return the digest of each file that it writes."""
    result = subprocess.run(
        [sys.executable, "-m", "stages.report"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    files = [*folder.glob("reports/figures/*"), *folder.glob("reports/[ri]*.*")]
    assert len(files) == 23
    return {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in files}


def test_the_users_environment_changes_nothing(folder: Path) -> None:
    """Neither a matplotlibrc, a notebook's backend nor strictness with warnings."""
    expected = _report(folder)
    settings = folder / "config/matplotlib/matplotlibrc"
    settings.parent.mkdir(parents=True)
    settings.write_text(HOSTILE)
    (folder / "matplotlibrc").write_text(HOSTILE)
    found = _report(
        folder,
        MATPLOTLIBRC=str(settings),
        XDG_CONFIG_HOME=str(folder / "config"),
        MPLBACKEND="module://matplotlib_inline.backend_inline",
        PYTHONWARNINGS="error",
    )
    assert found == expected
