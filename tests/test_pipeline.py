"""The real pipeline, in a copy of the project, on a small part of the real data.

The tests of this file share one copy and follow one another.
"""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from stages.core.machine import count_workers
from stages.core.params import MODELS, Params
from tests.conftest import BROWSER, ROOT, Project

OUTPUTS = [
    *(f"data/prepared/{name}" for name in ("train.safetensors", "test.safetensors", "pixels.json")),
    *(f"models/{model}.{kind}" for model in MODELS for kind in ("safetensors", "history.csv")),
    *(f"reports/metrics/{model}.json" for model in MODELS),
    *(f"reports/predictions/{model}.safetensors" for model in MODELS),
    "reports/history.csv",
    *("reports/report.md", "reports/index.html", "reports/findings.json", "reports/findings.csv"),
]
METRICS = {
    *("test_accuracy", "test_loss", "train_accuracy", "train_loss", "accuracy_gap"),
    *("errors", "parameters"),
}


def _ran(output: str) -> list[str]:
    """Return the stages that DVC ran, from what it printed."""
    return re.findall(r"Running stage '([\w-]+)'", output)


@pytest.fixture(scope="module")
def project(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return finished.clone(tmp_path_factory.mktemp("pipeline") / "project")


def test_everything_ran_and_is_there(project: Project, params: Params) -> None:
    printed = (project.folder / ".dvc/tmp/printed").read_text()
    side_by_side = count_workers(params.train, len(MODELS)) > 1
    name = "gn \\|" if side_by_side else "gn"
    assert re.search(rf"^{name} epoch 2/2: validation loss", printed, re.MULTILINE)
    assert "up to date" not in printed
    assert [name for name in OUTPUTS if not (project.folder / name).is_file()] == []
    assert project.run("git", "status", "--porcelain") == ""
    assert list((project.folder / ".resume").iterdir()) == []
    assert list(project.folder.rglob("*.tmp")) == []
    for name in OUTPUTS:
        content = (project.folder / name).read_bytes()
        assert str(Path.home()).encode() not in content
        assert str(project.folder).encode() not in content


def test_words_rebuild_nothing(project: Project) -> None:
    (project.folder / "README.md").write_text("changed")
    project.set("# resolution of the figures", "# resolution", file="params.yaml")
    assert _ran(project.run("dvc", "repro")) == []
    changed = project.run("git", "status", "--porcelain").split()
    assert changed == ["M", "README.md", "M", "params.yaml"]


def test_metrics_have_the_same_keys_and_agree(project: Project) -> None:
    for model in MODELS:
        metrics = json.loads((project.folder / f"reports/metrics/{model}.json").read_text())
        assert metrics.keys() == METRICS
        assert metrics["parameters"] == 8880
        assert metrics["errors"] == round(10_000 * (1 - metrics["test_accuracy"]))
        gap = metrics["train_accuracy"] - metrics["test_accuracy"]
        assert metrics["accuracy_gap"] == pytest.approx(gap, abs=1e-6)
        assert metrics["test_accuracy"] > 0.5


def test_metrics_shown_are_those_of_the_models_and_the_verdicts(project: Project) -> None:
    paths = [f"reports/metrics/{model}.json" for model in MODELS]
    (shown,) = json.loads(project.run("dvc", "metrics", "show", "--json")).values()
    assert sorted(shown["data"]) == sorted([*paths, "reports/findings.json"])
    verdicts = json.loads((project.folder / "reports/findings.json").read_text())
    assert 0 < len(verdicts) <= 12
    assert all(isinstance(x, str) and re.fullmatch(r"\w+", key) for key, x in verdicts.items())


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize(("command", "revisions"), [("show", 1), ("diff HEAD HEAD~1 workspace", 3)])
def test_charts_need_no_network(
    project: Project, browser: Browser, command: str, revisions: int
) -> None:
    project.run("dvc", "plots", *command.split())
    page = browser.new_page(offline=True)
    complaints: list[str] = []
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((project.folder / "dvc_plots/index.html").as_uri())
    page.locator("#reports_shifts_csv svg.marks").wait_for()
    lines = page.evaluate(
        """["Loss", "Error", "reports_history_csv"].map(
            id => document.querySelectorAll(`#${id} .mark-line.role-mark path`).length)"""
    )
    of_both_splits = 2 * len(MODELS) * revisions
    assert lines == [of_both_splits, of_both_splits, revisions]  # the rate is that of all models
    axis = page.locator("#reports_shifts_csv .cell .role-axis-label").first
    contrasts = list(map(float, axis.locator("text").all_text_contents()))
    assert contrasts[0] == 1  # from images as they are to the hardest
    assert contrasts == sorted(contrasts, reverse=True)
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert complaints == []
    page.close()


ALL_THREE = [f"train-{model}" for model in MODELS]


@pytest.mark.parametrize(
    ("key", "value", "stages"),
    [
        ("dots_per_inch", 72, ["report"]),
        ("test_batch", 50, ["evaluate", "report"]),
        ("epochs", 1, [*ALL_THREE, "evaluate", "report"]),
    ],
)
def test_a_parameter_reruns_what_it_changes(
    key: str, value: int, stages: list[str], project: Project
) -> None:
    before = (project.folder / "params.yaml").read_bytes()
    project.set_param(key, value)
    ran = _ran(project.run("dvc", "repro", "--dry"))
    project.write("params.yaml", before)
    assert sorted(ran) == sorted(stages)


def test_gn_parameter_retrains_gn_alone(project: Project) -> None:
    project.set_param("channels_per_group", 2)
    assert _ran(project.run("dvc", "repro")) == ["train-gn", "evaluate", "report"]
    changes = json.loads(project.run("dvc", "metrics", "diff", "--json"))
    assert list(changes) == ["reports/metrics/gn.json"]
    assert "reports/history.csv" in project.run("dvc", "plots", "diff", "--json")
    (command,) = re.findall("`(dvc exp show .*?)`", (ROOT / "README.md").read_text())
    table = project.run("env", "COLUMNS=100", *shlex.split(command), "--no-pager")
    assert "models.gn.channels_per_group" in table
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= 100


def test_parameter_changed_back_and_deleted_reports_come_from_the_cache(project: Project) -> None:
    project.set_param("channels_per_group", 4)
    project.set_param("dots_per_inch", 50)
    for name in ("report.md", "history.csv", "metrics/bn.json", "figures/loss.png"):
        (project.folder / "reports" / name).unlink()
    project.write("matplotlibrc", b"font.size: 30\nsavefig.bbox: tight\nsvg.fonttype: none\n")
    output = project.run("env", "MPLBACKEND=tkagg", "dvc", "repro")  # which change nothing
    assert _ran(output) == ["report"]  # what is in git without being a plot is not in DVC's cache
    assert output.count("is cached - skipping run") == 2  # train-gn, evaluate
    assert "up to date" in project.run("dvc", "status")
    assert project.run("git", "status", "--porcelain", "reports", "dvc.lock") == ""


def test_clean_images_among_the_shifted_ones_have_the_accuracy_of_the_metrics(
    project: Project,
) -> None:
    rows = csv.DictReader((project.folder / "reports/shifts.csv").read_text().splitlines())
    clean = {x["reading"]: float(x["accuracy"]) for x in rows if x["shift"] == "none"}
    for model in MODELS:
        metrics = json.loads((project.folder / f"reports/metrics/{model}.json").read_text())
        assert clean[model] == metrics["test_accuracy"]
