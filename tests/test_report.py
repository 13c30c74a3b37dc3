"""The report stage, run on made-up results of real images: no training is needed for it."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stages.core.dataset import Pixels, Split, split_path
from stages.core.files import write_tensors
from stages.core.params import MODELS, load_params
from stages.core.recipe import Recipe
from stages.evaluation.activations import BLOCKS, NUM_BINS, Observed, write_activations
from stages.evaluation.metrics import Metrics, metrics_path, write_metrics
from stages.evaluation.predictions import Predictions, predictions_path, write_predictions
from stages.evaluation.shifts import list_cases, write_shifts
from stages.model.checkpoint import checkpoint_path, network_for, write_checkpoint
from stages.model.history import Epoch, history_path, write_history
from stages.model.scoring import Score
from stages.records.declaration import read_studies
from stages.records.plan import list_trainings
from stages.records.record import write_rows
from tests.conftest import ROOT, with_fixed_values, with_param

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
STUDIES = """
studies:
  l1:
    question: What does L1 cost?
    models: [bn, gn]
    seeds: 3
    vary: {models.bn.l1: [0, 0.1]}
"""


@pytest.fixture
def folder(tmp_path: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the report stage reads, where the models make 40, 30 and 50 errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "studies.yaml").write_text(STUDIES)
    shutil.copytree(ROOT / "data", "data", ignore=shutil.ignore_patterns("raw", "prepared"))
    text = with_fixed_values((ROOT / "params.yaml").read_text())
    for key, value in {
        **{"epochs": 3, "validation_images": 0, "weight_average": 0.9, "dots_per_inch": 50}
    }.items():
        text = with_param(text, key, value)
    Path("params.yaml").write_text(text)
    tensors = {"images": test_split.images, "labels": test_split.labels}
    write_tensors(split_path(Path("data/prepared"), "test"), tensors, {"split": "test"})
    for model, errors in zip(MODELS, (40, 30, 50), strict=True):
        _make_up_scores(model, test_split.labels, errors)
        _make_up_course(model)
        _make_up_checkpoint(model)
    _make_up_study()
    _make_up_shifts(test_split.labels)
    return tmp_path


def _make_up_shifts(labels: torch.Tensor) -> None:
    """Write that bn misreads 9,000 images of low contrast, and 2,000 by their own statistics."""
    cases = [case for model in MODELS for case in list_cases(model, load_params().shifts)]
    predicted = {}
    for case in cases:
        digits = labels.clone()
        if case.shift == "contrast" and case.model == "bn":
            wrong = 9000 if case.reading == "bn" else 2000
            digits[:wrong] = (digits[:wrong] + 1) % 10
        predicted[case] = digits
    write_shifts(predicted, labels)


def _make_up_study() -> None:
    """Write a record in which L1 costs bn 20 points, more or less."""
    study = read_studies()["l1"]
    rows = [
        training.row
        | {
            "test_accuracy": f"{0.99 - 0.2 * bool(training.recipe.own.l1) - i**2 / 1e5:.5f}",
            "recipe": training.recipe.digest,
        }
        for i, training in enumerate(list_trainings(study, load_params()))
    ]
    write_rows(study.record, rows)


def _make_up_scores(model: str, labels: torch.Tensor, errors: int) -> None:
    """Write the predictions and the metrics of a ``model`` that makes so many ``errors``."""
    predicted = labels.long().clone()
    predicted[:errors] = (predicted[:errors] + 1) % 10
    logits = torch.nn.functional.one_hot(predicted, 10).float() * 8
    logits[:errors] *= torch.linspace(0.2, 1, errors)[:, None]
    write_predictions(predictions_path(model), Predictions(logits, {"torch": "2"}))
    accuracy = round(1 - errors / len(labels), 6)
    metrics = Metrics(accuracy, 0.02, accuracy + 0.001, 0.01, 0.001, errors, parameters=8880)
    write_metrics(metrics_path(model), metrics)


def _make_up_course(model: str) -> None:
    """Write three epochs of a training, and what was observed inside the network."""
    epochs = [
        Epoch(
            i,
            0.1 / i,
            Score(0.2 / i, 1 - 0.1 / i),
            Score(0.1 / i, 1 - 0.05 / i),
            "test",
            Score(0.2 / i, 0.9),
        )
        for i in (1, 2, 3)
    ]
    write_history(history_path(model), epochs)
    write_activations(model, {block: _observed(MODELS[model] == "batch") for block in BLOCKS})


def _make_up_checkpoint(model: str) -> None:
    """Write an untrained ``model``, as the parameters ask for."""
    recipe = Recipe.of(model, load_params())
    weights = network_for(recipe).state_dict()
    write_checkpoint(checkpoint_path(model), weights, recipe, Pixels(0.13, 0.31), {"torch": "2"})


def _observed(has_running_statistics: bool) -> Observed:
    shares = torch.full((NUM_BINS,), 1 / NUM_BINS)
    return Observed(
        torch.linspace(-3, 5, NUM_BINS + 1),
        *(shares, shares.clone()),
        *(torch.linspace(0.5, 1, 8) for _ in range(2)),
        *(torch.linspace(0.5, 1, 8 * has_running_statistics) for _ in range(2)),
    )


def _run(folder: Path, **environment: str) -> str:
    """Run the stage; return what it prints."""
    result = subprocess.run(
        [sys.executable, "-m", "stages.report"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def _report(folder: Path, others: int = 3, **environment: str) -> dict[str, str]:
    """Run the stage; return the digest of each file that it writes."""
    _run(folder, **environment)
    files = [*folder.glob("reports/figures/*"), *folder.glob("reports/[ri]*.*")]
    assert len(files) == 23 + others
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
    text = Path("reports/report.md").read_text()
    assert "\n## Where they differ\n" in text
    # bn with L1 is trained after gn: (4 - 1 + 25 - 16 + 64 - 49) / 3 = 9 hundred thousandths less.
    assert "at 0.1, gn is 20.009 points above bn" in text
    page = Path("reports/index.html").read_text()
    assert "gn 100.0\N{NO-BREAK SPACE}%, bn" in page
    page = page.replace("\N{NO-BREAK SPACE}", " ")
    assert page.index('id="where"') < page.index('id="shifts"') < page.index('id="draw"')
    for document in (text, page):
        assert document.index("On test images unlike the training images") < document.index(
            "What does L1 cost?"
        )
        # Only gn is right on 9,000 images: 9000 / 10002 +- 2.5 deviations of 0.3 points.
        assert "gn 100.0 %, bn 10.0 %: 90.0 points (95 % interval 89.2 to 90.7, p &lt;" in document
        assert "bn-batch gains most with contrast x 0.1: bn-batch 80.0 %, bn 10.0 %: 70" in document
        assert (
            "bn-batch gets 100.0 % with 10 images at a time, 100.0 % with 100; from 10 on it stays"
            in document
        )
        assert "with one image at a time" not in document.lower()


def _answer_and_claims() -> tuple[str, list[str]]:
    """Return the answer of the report as written, and the statements of its table of claims."""
    text = Path("reports/report.md").read_text()
    (answer,) = [line for line in text.splitlines() if line.startswith("> ")]
    conclusions = text.partition("## Conclusions")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0] for line in conclusions.splitlines() if line.startswith("| ")]
    return answer, rows[1:]


def test_a_model_that_did_not_learn_is_no_finding(folder: Path, test_split: Split) -> None:
    """As with train.epochs of 1, where the average of the weights has hardly left its start."""
    Path("params.yaml").write_text(with_param(Path("params.yaml").read_text(), "epochs", 1))
    for model in MODELS:
        lines = history_path(model).read_text().splitlines(keepends=True)
        history_path(model).write_text("".join(lines[:2]))
        _make_up_checkpoint(model)
    _make_up_scores("bn", test_split.labels, 5800)
    printed = _run(folder)
    assert printed == ("bn did not learn: its final weights get 42.00 % of the test images right\n")
    answer, claims = _answer_and_claims()
    assert answer.startswith("> bn did not learn: its final weights get 42.00 % of the test images")
    assert " Use gn. On the same 10,000 test images, one run each: gn 99.700 %, ln" in answer
    assert len(claims) == 4
    assert not any("bn" in claim for claim in claims)
    assert "trained 1 epoch with" in Path("reports/report.md").read_text()
    assert "so are left out: l1." in Path("reports/report.md").read_text()
    for model in ("gn", "ln"):
        _make_up_scores(model, test_split.labels, 9000)
    Path("reports/figures/shifts.png").unlink()  # as DVC does
    _report(folder, others=0)
    answer, claims = _answer_and_claims()
    assert "Use" not in answer
    assert claims == []


def test_it_speaks_of_the_data_set(folder: Path) -> None:
    path = folder / "params.yaml"
    path.write_text(with_param(path.read_text(), "name", "fashion-mnist"))
    for model in MODELS:
        _make_up_checkpoint(model)
    _run(folder)
    page = re.sub(r"[\w+/=]{60,}", "", (folder / "reports/index.html").read_text())  # no base64
    for text in (page, (folder / "reports/report.md").read_text()):
        assert "digit" not in text.lower()
        assert "layer normalization on Fashion-MNIST" in text
    assert "<b>Sneaker</b> taken for <b>Bag</b>" in page  # the first test image is a 7
