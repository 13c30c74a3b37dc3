"""The report stage, run on made-up results of real images: no training is needed for it."""

import csv
import html
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from stages import report
from stages.core.dataset import Pixels, Split, split_path
from stages.core.files import write_tensors
from stages.core.params import MODELS, load_params
from stages.core.recipe import Recipe
from stages.evaluation.metrics import Metrics, metrics_path, write_metrics
from stages.evaluation.predictions import predictions_path, write_predictions
from stages.evaluation.shifts import Row as ShiftRow
from stages.evaluation.shifts import list_cases, write_shifts
from stages.model.checkpoint import checkpoint_path, network_for, write_checkpoint
from stages.model.history import Epoch, history_path, write_history
from stages.model.history import write_rows as write_rows_of_any_kind
from stages.model.scoring import Score
from stages.records.causes import DISTANCES_PATH, PATH, list_choice, write_table
from stages.records.causes import list_cases as list_cases_of
from stages.records.declaration import read_studies
from stages.records.plan import Planned, list_trainings
from stages.records.record import Row, write_rows
from stages.records.shifted import path_of
from tests.conftest import ROOT, Project, change, with_fixed_values, with_param
from tests.made_up import BEST, DIVERGED, distances_of, record, row_of

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
  seeds: {question: "Which is best?", models: [bn, gn, ln], seeds: 4, shifts: true}
  l1:
    question: What does L1 cost?
    readings: Do other statistics help?
    models: [bn, gn, none]
    seeds: 3
    vary: {models.bn.l1: [0, 0.1, 1]}
    note: It is a note.
    situations: [{when: "bn has L1 of {}", at: 0.1, finding: with_l1, headline: true}]
  placement:
    question: Before or after?
    models: [bn, gn]
    seeds: 3
    set: {train.epochs: 2}
    compare: values
    vary: {network.placement: [after, before]}
  shifted:
    question: And without dropout?
    models: [bn, gn, ln]
    seeds: 2
    set: {network.dropout: 0.1}
    shifts: true
    situations: [{when: "with dropout, {}"}]
  other: {question: "And another?", models: [bn, gn], seeds: 2, set: {network.dropout: 0.2}}
"""
GOLDEN = Path(__file__).with_name("golden_report.md")


@pytest.fixture
def folder(tmp_path: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the report stage reads, where the models make 40, 30 and 50 errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "studies.yaml").write_text(STUDIES)
    shutil.copytree(ROOT / "data", "data", ignore=shutil.ignore_patterns("raw", "prepared"))
    text = with_fixed_values((ROOT / "params.yaml").read_text())
    others = {"epochs": 3, "validation_images": 0, "weight_average": 0.9, "dots_per_inch": 50}
    for key, value in others.items():
        text = with_param(text, key, value)
    Path("params.yaml").write_text(text)
    tensors = {"images": test_split.images, "labels": test_split.labels}
    for split in ("train", "test"):
        write_tensors(split_path(Path("data/prepared"), split), tensors, {"split": split})
    for model, errors in zip(MODELS, (40, 30, 50), strict=True):
        _make_up_scores(model, test_split.labels, errors)
        _make_up_course(model)
        _make_up_checkpoint(model)
    _make_up_shifts()
    return tmp_path


def _make_up_shifts() -> None:
    """Write that bn misreads nine in ten images of low contrast, two by their own statistics."""
    cases = [case for model in MODELS for case in list_cases(model, load_params().shifts)]
    rows = []
    for case in cases:
        wrong = {"bn": 0.9, "bn-batch": 0.2}.get(case.reading, 0) * (case.shift == "contrast")
        rows.append(ShiftRow(**vars(case), accuracy=1 - wrong))
    write_shifts(rows)


def _make_up_records() -> None:
    """Write records of which something can be said in each way that the report knows."""
    params, studies = load_params(), read_studies()
    noise = [0, 3, -2, 1]  # hundred thousandths, by seed

    def score(training: Planned) -> Row:
        model, own = training.arm.model, training.recipe.own
        if (model == "bn" and own.l1 == 1) or (model, training.seed) == ("none", 2):
            return DIVERGED
        lost = 0.2 * (model == "bn" and own.l1 == 0.1) + 0.001 * (model == "none")
        offset = {"bn": 0, "gn": 4, "ln": 300}.get(model, 0) * (-1) ** training.seed
        accuracy = 0.99 - lost - (noise[training.seed] + offset) / 1e5
        row = {"test_accuracy": f"{accuracy:.5f}", "train_accuracy": "0.995", "machine": "a"}
        more = {"recomputed_accuracy": f"{accuracy:.5f}", "batch_accuracy": f"{accuracy - 0.3:.5f}"}
        return row | (more if model == "bn" else {})

    for name in ("seeds", "l1", "placement", "shifted"):
        write_rows(studies[name].record, record(studies[name], params, score))
    old = record(studies["other"], change(params, train__batch_size=10), score)
    write_rows(studies["other"].record, old)
    for name, good in (("seeds", 0.96), ("shifted", 0.4)):
        rows = [
            {
                **{"seed": x.seed, "recipe": x.recipe.digest, **vars(case)},
                "accuracy": (good if case.reading != "bn" else good / 2)
                - noise[x.seed] / (1000 if case.reading == "ln" else 4000),
            }
            for x in list_trainings(studies[name], params)
            for case in list_cases(x.arm.model, params.shifts)
        ]
        write_rows_of_any_kind(path_of(studies[name]), rows)
    cases = [*list_choice(6), *(case for m in MODELS for case in list_cases_of(m, 6, BEST))]
    write_table(PATH, [row_of(case, seed, params) for case in cases for seed in range(4)])
    distances = [x for seed in range(4) for x in distances_of(params, seed, lambda shift: shift[1])]
    write_table(DISTANCES_PATH, distances)


def _make_up_scores(model: str, labels: torch.Tensor, errors: int) -> None:
    """Write the predictions and the metrics of a ``model`` that makes so many ``errors``."""
    predicted = labels.long().clone()
    predicted[:errors] = (predicted[:errors] + 1) % 10
    logits = torch.nn.functional.one_hot(predicted, 10).float() * 8
    logits[:errors] *= torch.linspace(0.2, 1, errors)[:, None]
    write_predictions(predictions_path(model), logits)
    accuracy = round(1 - errors / len(labels), 6)
    metrics = Metrics(accuracy, 0.02, accuracy + 0.001, 0.01, 0.001, errors, parameters=8880)
    write_metrics(metrics_path(model), metrics)


def _make_up_course(model: str) -> None:
    """Write three epochs of a training."""
    epochs = [
        Epoch(
            *(i, 0.1 / i, Score(0.2 / i, 1 - 0.1 / i), Score(0.1 / i, 1 - 0.05 / i)),
            *("test", Score(0.2 / i, 0.9)),
        )
        for i in (1, 2, 3)
    ]
    write_history(history_path(model), epochs)


def _make_up_checkpoint(model: str) -> None:
    """Write an untrained ``model``, as the parameters ask for."""
    recipe = Recipe.of(model, load_params())
    weights = network_for(recipe).state_dict()
    write_checkpoint(checkpoint_path(model), weights, recipe, Pixels(0.13, 0.31), {"torch": "2"})


@pytest.mark.torture
def test_the_users_environment_changes_nothing(finished: Project, tmp_path: Path) -> None:
    """Neither a matplotlibrc, a notebook's backend nor strictness with warnings."""
    project = finished.copy(tmp_path / "project")
    settings = tmp_path / "config/matplotlib/matplotlibrc"
    settings.parent.mkdir(parents=True)
    settings.write_text(HOSTILE)
    project.write("matplotlibrc", HOSTILE.encode())
    hostile = {
        "MATPLOTLIBRC": settings,
        "XDG_CONFIG_HOME": tmp_path / "config",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONWARNINGS": "error",
    }
    shutil.rmtree(project.folder / "reports/figures")
    (project.folder / "reports/index.html").unlink()
    variables = (f"{name}={value}" for name, value in hostile.items())
    run = project.try_run("env", *variables, "python", "-m", "stages.report")
    assert (run.returncode, run.stderr) == (0, "")
    assert project.outputs() == finished.outputs()


def _words(text: str) -> str:
    """Return the text of a page or of Markdown, without marks and line breaks."""
    text = re.sub(r"<(style|script|svg).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
    return " ".join(re.sub(r"[*|`#>-]", " ", html.unescape(text)).split())


def test_wording_and_findings(folder: Path) -> None:
    """Of all that the report says of numbers, in one place; RENEW=1 takes the present words over.

    The page says the same.
    """
    _make_up_records()
    report.main()
    _check_findings()
    text = Path("reports/report.md").read_text()
    page = _words(Path("reports/index.html").read_text())
    assert [
        x
        for x in text.partition("## Which one should I use?")[2].splitlines()
        if _words(x) not in page
    ] == []
    lines = text.partition("\n## The course of the trainings")[0].splitlines(keepends=True)
    told = "".join(line for line in lines if line.strip() and not line.startswith("<"))
    if os.environ.get("RENEW"):
        GOLDEN.write_text(told)
    assert told == GOLDEN.read_text()


def _check_findings() -> None:
    """They are words for `dvc metrics diff`, and rows."""
    verdicts = json.loads(Path("reports/findings.json").read_text())
    assert verdicts == {
        **{"clean_bn_gn": "equal", "clean_bn_ln": "not settled", "clean_gn_ln": "not settled"},
        **{"faded": "gn or ln", "with_l1": "gn or none"},
    }
    rows = list(csv.DictReader(Path("reports/findings.csv").read_text().splitlines()))
    of_clean = {(row["first"], row["second"]): row for row in rows if row["finding"] == "clean"}
    assert [row["verdict"] for row in of_clean.values()] == ["equal", "not settled", "not settled"]
    # By hand: -4, +4, -4, +4 hundred thousandths.
    assert float(of_clean["bn", "gn"]["difference"]) == pytest.approx(0)
    assert {row["verdict"] for row in rows} == {"differ", "equal", "not settled", "both diverged"}


def _answer_and_claims() -> tuple[str, list[str]]:
    """Return the answer of the report as written, and the statements of its table of claims."""
    text = Path("reports/report.md").read_text()
    (answer,) = [line for line in text.splitlines() if line.startswith("> ")]
    conclusions = text.partition("## What the evidence supports")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0] for line in conclusions.splitlines() if line.startswith("| ")]
    return answer, rows[1:]


@pytest.mark.parametrize("others", [[], ["ln"]])
def test_a_model_without_rows_by_the_present_parameters(folder: Path, others: list[str]) -> None:
    """As after `dvc exp run -S models.gn.channels_per_group=2`: the report tells of the others."""
    declared = f"  plain: {{question: 'Which?', models: {['bn', 'gn', *others]}, seeds: 3, set: {{"
    (folder / "studies.yaml").write_text(f"{STUDIES}{declared}network.dropout: 0.3}}}}\n")
    _make_up_records()
    study, params = read_studies()["plain"], load_params()

    def score(training: Planned) -> Row:
        accuracy = 0.981 + training.seed * (1 + (training.arm.model == "ln")) / 1e5
        return {"test_accuracy": f"{accuracy:.5f}", "train_accuracy": "0.99"}

    write_rows(study.record, record(study, params, score))
    path = folder / "params.yaml"
    path.write_text(with_param(path.read_text(), "channels_per_group", 2))
    _make_up_checkpoint("gn")
    report.main()
    told = Path("reports/report.md").read_text().partition("### Which?")[2].partition("###")[0]
    means = ", ".join(["98.10 %"] * (1 + len(others)))
    verdict = "equal within 0.1 points" if others else "no difference is shown"
    assert f"- **{' and '.join(['bn', *others])}**: {means}; {verdict}.\n" in told


def test_a_model_that_did_not_learn_is_no_finding(
    folder: Path, test_split: Split, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with train.epochs of 1, where the average of the weights has hardly left its start.

    Of another data set, whose classes the report then names.
    """
    path = folder / "params.yaml"
    path.write_text(with_param(path.read_text(), "name", "fashion-mnist"))
    for model in MODELS:
        _make_up_checkpoint(model)
    _make_up_scores("bn", test_split.labels, 5800)
    report.main()
    reason = "bn did not learn: its final weights get 42.00 % of the test images right"
    assert capsys.readouterr().out == f"{reason}\n"
    answer, claims = _answer_and_claims()
    assert answer.startswith(f"> {reason}. ")
    assert " On the same 10,000 test images, one run each, batch normalization (bn) reads" in answer
    assert claims == []
    verdicts = json.loads(Path("reports/findings.json").read_text())
    assert verdicts == {
        **{"clean_bn_gn": "bn did not learn", "clean_bn_ln": "bn did not learn"},
        **{"clean_gn_ln": "not settled", "faded": "not settled"},
    }
    page = re.sub(r"[\w+/=]{60,}", "", Path("reports/index.html").read_text())  # no base64
    for text in (page, Path("reports/report.md").read_text()):
        assert "digit" not in text.lower()
        assert "layer normalization on Fashion-MNIST" in text
    assert "<b>Sneaker</b> taken for <b>Bag</b>" in page  # the first test image is a 7
