"""Studies: what a table plans is trained once, and its summary holds means by hand."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stages.core.errors import ParamsError
from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.studies.summary import summarize
from stages.studies.table import recipe_of, with_seeds
from tests.conftest import Project, change, wait_for


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that trains on 1,000 images for an epoch."""
    project = Project(tmp_path_factory.mktemp("study"))
    project.set_param("validation_images", 59_000)
    project.set_param("epochs", 1)
    project.set_param("weight_average", 0)  # else each epoch scores twice
    return project


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_rows_are_trained_once_and_as_the_stage_does(project: Project) -> None:
    table = project.folder / "t.csv"
    table.write_text("model,seed,model.learning_rate\ngn,3,0.02\nln,0,\n")
    study = ("python", "-m", "stages.studies", "t.csv")
    assert "2 of 2 trainings to do" in project.run(*study)
    gn, ln = _rows(table)
    assert (gn["model.learning_rate"], ln["model.learning_rate"]) == ("0.02", "")
    assert table.with_suffix(".md").read_text() == summarize([gn, ln])
    assert "0 of 2 trainings to do" in project.run(*study)
    assert _rows(table) == [gn, ln]
    project.run("python", "-m", "stages.prepare_data")
    project.run("python", "-m", "stages.train", "ln")
    history = _rows(project.folder / "models/ln.history.csv")
    assert float(ln["validation_accuracy"]) == float(history[-1]["validation_accuracy"])


def test_plan_without_rows_stays(project: Project) -> None:
    table = project.folder / "h.csv"
    table.write_text("model,seed,train.epochs\n")
    assert "0 of 0 trainings to do" in project.run("python", "-m", "stages.studies", "h.csv")
    assert table.read_text() == "model,seed,train.epochs\n"


@pytest.mark.torture
def test_another_recipe_is_trained_again(project: Project) -> None:
    """Also where the old results are those of other images: they do not stay beside new ones."""
    table = project.folder / "u.csv"
    table.write_text("model,seed,test_accuracy,recipe\nbn,0,0.9,abc\ngn,0,0.8,def\n")
    assert "2 of 2 trainings to do" in project.run("python", "-m", "stages.studies", "u.csv")
    assert all(row["validation_accuracy"] and not row.get("test_accuracy") for row in _rows(table))


def test_seeds_are_added_and_none_is_lost(tmp_path: Path) -> None:
    rows = [{"model": "gn", "seed": "7", "recipe": "x"}, {"model": "bn", "seed": "0"}]
    planned = with_seeds(rows, 2)
    assert planned[:2] == rows
    keys = [(row["model"], row["seed"]) for row in planned]
    assert sorted(keys) == sorted({("gn", "7"), *((m, s) for m in MODELS for s in "01")})


def test_seeds_are_scored_on_the_test_images_too(project: Project) -> None:
    """With held-out images, of which the rest of the report must not be made."""
    (project.folder / "s.csv").write_text("model,seed,test_accuracy,recipe\nln,0,0.5,old\n")
    study = ("python", "-m", "stages.studies", "s.csv")
    project.run(*study)
    assert not _rows(project.folder / "s.csv")[0].get("test_accuracy")
    assert "3 of 3 trainings to do" in project.run(*study, "--seeds", "1")
    assert "0 of 3 trainings to do" in project.run(*study, "--seeds", "1")
    rows = _rows(project.folder / "s.csv")
    assert [row["model"] for row in rows] == ["ln", "bn", "gn"]
    assert all(0.1 < float(row["test_accuracy"]) < 1 for row in rows)
    assert all(row["test_accuracy"] != row["validation_accuracy"] for row in rows)
    assert rows[0]["test_accuracy"] != "0.5"


@pytest.fixture
def study(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A study that has just been started and would go on for minutes."""
    (project.folder / "k.csv").write_text("model,seed,train.epochs\nbn,0,1000\ngn,0,1000\n")
    study = project.start("python", "-m", "stages.studies", "k.csv")
    yield study
    study.kill()  # also after a failure: it holds the lock that the next one waits for
    study.communicate()


def test_interrupted_study_ends_with_one_line(study: subprocess.Popen[str]) -> None:
    parent = psutil.Process(study.pid)
    wait_for(lambda: _workers(parent))
    workers = _workers(parent)
    os.killpg(study.pid, signal.SIGINT)  # as a terminal does
    error = study.communicate(timeout=30)[1]
    assert study.returncode == 130
    assert error == "study: interrupted\n"
    assert psutil.wait_procs(workers, timeout=5)[1] == []


def test_interrupt_while_workers_still_import(study: subprocess.Popen[str]) -> None:
    parent = psutil.Process(study.pid)
    wait_for(lambda: _workers(parent, seconds=0))
    os.killpg(study.pid, signal.SIGINT)
    error = study.communicate(timeout=30)[1]
    assert study.returncode == 130
    assert error == "study: interrupted\n"


@pytest.mark.torture
def test_a_row_that_is_killed_each_time_costs_no_other(project: Project) -> None:
    """As the kernel does to one that takes more memory than there is."""
    rows = "bn,0,1000\ngn,0,1\nln,0,1\n"
    (project.folder / "d.csv").write_text(f"model,seed,train.epochs\n{rows}")
    study = project.start("python", "-m", "stages.studies", "d.csv")
    parent = psutil.Process(study.pid)
    for _ in range(2):  # beside others, then alone
        wait_for(lambda: _workers(parent, seconds=3))
        workers = _workers(parent, seconds=0)
        for worker in workers:
            worker.kill()
        assert psutil.wait_procs(workers, timeout=5)[1] == []
    error = study.communicate(timeout=120)[1]
    assert study.returncode == 1
    assert error == (
        "study: 1 of 3 trainings failed: bn seed 0 train.epochs 1000 "
        "(killed; is there too little memory?)\n"
    )
    bn, gn, ln = _rows(project.folder / "d.csv")
    assert gn["validation_accuracy"]
    assert ln["validation_accuracy"]
    assert not bn["validation_accuracy"]


@pytest.mark.torture
@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit a process's memory")
def test_a_row_with_too_little_memory_costs_no_other(project: Project) -> None:
    columns = "model,seed,train.batch_size,data.validation_images"
    (project.folder / "m.csv").write_text(f"{columns}\nbn,0,10000,50000\nln,0,64,59000\n")
    study = "ulimit -v 5000000; python -m stages.studies m.csv"
    output = project.run("sh", "-c", study, status=1)
    assert output.splitlines()[-1] == (
        "study: 1 of 2 trainings failed: bn seed 0 train.batch_size 10000 "
        "data.validation_images 50000 (out of memory; end other programs, or try a smaller "
        "train.batch_size)"
    )
    assert len(output.splitlines()) == 3  # how many there are, the good row, the bad one
    assert [bool(row["validation_accuracy"]) for row in _rows(project.folder / "m.csv")] == [0, 1]


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_study_outlives_the_shell_that_started_it(project: Project) -> None:
    (project.folder / "n.csv").write_text("model,seed\nbn,0\n")
    shell = project.start("sh", "-c", "nohup python -m stages.studies n.csv >n.log 2>&1 & wait")
    wait_for(lambda: "trainings to do" in _text(project.folder / "n.log"))
    shell.kill()
    shell.communicate()
    wait_for(lambda: _rows(project.folder / "n.csv")[0].get("validation_accuracy"), seconds=180)


def test_workers_end_with_a_study_that_was_killed_before_they_began(
    study: subprocess.Popen[str],
) -> None:
    parent = psutil.Process(study.pid)
    wait_for(lambda: _workers(parent, seconds=0))
    workers = _workers(parent, seconds=0)
    parent.kill()
    study.wait()
    assert psutil.wait_procs(workers, timeout=30)[1] == []


def _workers(study: psutil.Process, seconds: float = 2) -> list[psutil.Process]:
    """Return the processes of ``study`` that have worked for ``seconds``: 2 to have begun."""
    return [process for process in study.children() if _is_worker(process, seconds)]


def _is_worker(process: psutil.Process, seconds: float) -> bool:
    try:
        is_worker = "spawn_main" in " ".join(process.cmdline())
        return is_worker and process.cpu_times().user >= seconds
    except psutil.NoSuchProcess:  # a short command that an import runs has ended meanwhile
        return False


def test_recipe_of_a_row(params: Params) -> None:
    row = {"model": "bn", "seed": "7", "train.epochs": "8", "model.l1": "0.5", "model.x": ""}
    expected = change(params, train__seed=7, train__epochs=8, models__bn__l1=0.5)
    assert recipe_of(row, params) == Recipe.of("bn", expected)
    with pytest.raises(ParamsError, match=r"train\.epochs\.x names no parameter"):
        recipe_of({"model": "bn", "train.epochs.x": "8"}, params)
    with pytest.raises(ParamsError, match=r"train\.epoch is not a known key"):
        recipe_of({"model": "bn", "train.epoch": "8"}, params)


def test_summary_by_hand() -> None:
    def row(model: str, seed: int, rate: str, accuracy: float) -> dict[str, str]:
        return {
            **{"train.epochs": "8", "train.dropout": rate, "model": model, "seed": str(seed)},
            **{"validation_accuracy": str(accuracy), "recipe": "x"},
        }

    rows = [
        row("bn", 0, "0", 0.98),
        row("bn", 1, "0", 0.99),
        row("gn", 0, "0", 0.97),
        row("bn", 0, "0.1", 0.5),
        {"model": "ln", "seed": "0"},  # not done
    ]
    header, _, *lines, _, note = summarize(rows).splitlines()
    assert header == "| variant | seeds | bn | gn | ln | all |"
    # (98 + 99) / 2; the deviation of two is their distance / sqrt(2)
    assert lines[0] == "| base | 0 1 | 98.500 ± 0.707 | 97.000 |  |  |"
    assert lines[1] == "| dropout 0.1 | 0 | 50.000 |  |  |  |"
    assert note.startswith("Validation accuracy in per cent")
    assert note.endswith("Base: epochs 8, dropout 0.")
