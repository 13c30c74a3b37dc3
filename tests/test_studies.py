"""Studies: what is declared is trained once and recorded; what the record says is checked."""

import contextlib
import csv
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import psutil
import pytest
import torch

from stages.core.dataset import Dataset, to_floats
from stages.core.errors import ParamsError, PipelineError
from stages.core.files import read_tensors, write_tensors
from stages.core.params import Params, load_params
from stages.core.recipe import Recipe
from stages.evaluation.shifts import Row as ShiftRow
from stages.model.history import write_rows as write_history_rows
from stages.model.network import network_for
from stages.records.declaration import Study, read_studies
from stages.records.networks import add_networks, networks_path, read_networks
from stages.records.plan import list_trainings, plan
from stages.records.record import Row, merge, read_rows, write_rows
from stages.records.results import collect
from stages.records.shifted import add_shifted, read_shifted
from stages.records.summary import summarize
from stages.studies.__main__ import main
from stages.studies.job import score_as_trained
from tests.conftest import ROOT, Project, build, change, project_of_studies, wait_for

STUDIES = """
recipes:
  endless: {train.epochs: 1000}
studies:
  rates:
    question: Which rate?
    models: [bn, ln]
    seeds: 1
    vary: {models.bn.learning_rate: [0.02, 10], models.bn.weight_decay: [0, 1]}
    # 125 steps: enough for 10 to diverge. Images held out for it are scored, which are few.
    set: {train.optimizer: sgd, train.batch_size: 8, data.validation_images: 500}
  seeds: {question: "Which is best?", models: [bn, gn, ln], seeds: 5, shifts: true}
  one: {question: "Does it end?", models: [ln], seeds: 1}
  endless: {question: "Does it end?", recipe: endless, models: [bn, gn], seeds: 1}
  killed:
    question: Does one cost the others?
    models: [bn, gn, ln]
    seeds: 1
    vary: {models.bn.l1: [0, 1]}
  large:
    question: Is there memory?
    models: [bn]
    seeds: 1
    set: {data.validation_images: 50000}
    vary: {train.batch_size: [64, 10000]}
"""


DECLARED = read_studies(ROOT / "studies.yaml").values()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return project_of_studies(tmp_path_factory.mktemp("study"), STUDIES)


def _study(name: str) -> tuple[str, ...]:
    return ("python", "-m", "stages.studies", name)


def _record(project: Project, name: str) -> Path:
    return project.folder / f"reports/studies/{name}.csv"


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_trainings_are_done_once_and_as_the_stage_does(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The control is trained once; that one of them diverges is a result."""
    assert "3 of 3 trainings to do" in project.run(*_study("rates"))
    bn, ln, diverged = rows = _rows(_record(project, "rates"))
    assert [row["models.bn.learning_rate"] for row in rows] == ["0.02", "", "10"]
    assert [row["model"] for row in rows] == ["bn", "ln", "bn"]
    assert re.fullmatch(r"diverged at epoch 1, step \d+", diverged["outcome"])
    assert not diverged["validation_accuracy"]
    assert "test_accuracy" not in diverged
    assert bn["outcome"] == ln["outcome"] == "ok"
    assert all(re.fullmatch("r[0-9a-f]{8}", row["recipe"]) and row["machine"] for row in rows)
    assert 0.1 < float(bn["recomputed_accuracy"]) != float(bn["batch_accuracy"])
    assert not ln["recomputed_accuracy"]
    assert not ln["batch_accuracy"]
    results = collect(
        read_studies(project.folder / "studies.yaml")["rates"],
        load_params(project.folder / "params.yaml"),
        read_rows(_record(project, "rates")),
    )
    assert _record(project, "rates").with_suffix(".md").read_text() == summarize(results)
    with contextlib.chdir(project.folder):
        main("rates", None, None)
    assert "0 of 3 trainings to do" in capsys.readouterr().out
    assert _rows(_record(project, "rates")) == rows


def test_seeds_are_scored_on_the_test_images_too(project: Project) -> None:
    """With images held out by params.yaml, as the stage scores them; another recipe's row stays."""
    other = {"model": "ln", "seed": "0", "test_accuracy": "0.5", "recipe": "rold"}
    write_rows(_record(project, "seeds"), [other, other | {"model": "gn", "seed": "7"}])
    project.set("shifts: true}", "shifts: true, networks: true}", "studies.yaml")
    seeds = (*_study("seeds"), "--seeds", "1")
    assert "3 of 3 trainings to do" in project.run(*seeds)
    rows = _rows(_record(project, "seeds"))
    assert [(row["model"], row["recipe"] == "rold") for row in rows] == [
        *((model, False) for model in ("bn", "gn", "ln")),
        *((model, True) for model in ("ln", "gn")),
    ]
    assert all(0.1 < float(row["test_accuracy"]) < 1 for row in rows)
    assert "Rows of other recipes were left out: 2." in (
        _record(project, "seeds").with_suffix(".md").read_text()
    )
    assert all(row["test_accuracy"] != row["validation_accuracy"] for row in rows)
    kept = read_tensors(_record(project, "seeds").with_suffix(".safetensors"), "")[0]
    assert {name.split("/")[0] for name in kept} == {"bn", "gn", "ln"}
    shifted = _rows(_record(project, "seeds.shifts"))
    clean = {row["reading"]: row["accuracy"] for row in shifted if row["shift"] == "none"}
    assert [float(clean[row["model"]]) for row in rows[:3]] == [
        float(row["test_accuracy"]) for row in rows[:3]
    ]
    without = [row for row in shifted if (row["model"], row["shift"]) != ("gn", "none")]
    write_history_rows(_record(project, "seeds.shifts"), without)
    assert "1 of 3 trainings to do" in project.run(*seeds)
    assert sorted(map(str, _rows(_record(project, "seeds.shifts")))) == sorted(map(str, shifted))
    project.run("python", "-m", "stages.prepare_data")
    project.run("python", "-m", "stages.train", "ln")
    trained = read_tensors(project.folder / "models/ln.safetensors", "")[0]
    prefix = f"ln/0/{rows[2]['recipe']}/"
    assert all(torch.equal(kept[f"{prefix}{name}"], x) for name, x in trained.items())
    history = _rows(project.folder / "models/ln.history.csv")
    assert float(rows[2]["validation_accuracy"]) == float(history[-1]["validation_accuracy"])


def test_unknown_study_names_those_there_are(project: Project) -> None:
    known = r"there is no study 'x'; studies.yaml declares rates \(Which rate\?\); seeds \(Which"
    with contextlib.chdir(project.folder), pytest.raises(ParamsError, match=known):
        main("x", None, None)


@pytest.fixture
def study(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A study that has just been started and would go on for minutes."""
    study = project.start(*_study("endless"))
    yield study
    study.kill()  # also after a failure: it holds the lock that the next one waits for
    study.communicate()


@pytest.mark.parametrize("seconds", [pytest.param(0, marks=pytest.mark.torture), 2])
def test_interrupted_study_ends_with_one_line(study: subprocess.Popen[str], seconds: float) -> None:
    """While its workers still import, and once they train."""
    parent = psutil.Process(study.pid)
    wait_for(lambda: _workers(parent, seconds))
    workers = _workers(parent, 0)
    os.killpg(study.pid, signal.SIGINT)  # as a terminal does
    error = study.communicate(timeout=30)[1]
    assert study.returncode == 130
    assert error == "study: interrupted\n"
    assert psutil.wait_procs(workers, timeout=5)[1] == []


@pytest.mark.torture
def test_a_row_that_is_killed_each_time_costs_no_other(project: Project) -> None:
    """As the kernel does to one that takes more memory than there is."""
    text = STUDIES.replace("models.bn.l1: [0, 1]", "models.bn.l1: [0]")
    text = text.replace("  killed:", "  killed:\n    set: {train.epochs: 30}")
    project.write("studies.yaml", text.encode())
    study = project.start(*_study("killed"))
    parent = psutil.Process(study.pid)
    for _ in range(2):  # beside others, then alone
        wait_for(lambda: _workers(parent, seconds=3))
        workers = _workers(parent, seconds=0)
        for worker in workers:
            worker.kill()
        assert psutil.wait_procs(workers, timeout=5)[1] == []
    error = study.communicate(timeout=120)[1]
    project.write("studies.yaml", STUDIES.encode())
    assert study.returncode == 1
    assert re.fullmatch(
        r"study: 1 of 3 trainings failed: .* seed 0.* \(killed; is there too little memory\?\)\n",
        error,
    )
    assert len(_rows(_record(project, "killed"))) == 2


@pytest.mark.torture
@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit a process's memory")
def test_a_row_with_too_little_memory_costs_no_other(project: Project) -> None:
    study = "ulimit -v 4600000; python -m stages.studies large"
    output = project.run("sh", "-c", study, status=1)
    assert output.splitlines()[-1] == (
        "study: 1 of 2 trainings failed: bn seed 0 train.batch_size 10000 "
        "(out of memory; end other programs, or try a smaller train.batch_size)"
    )
    others = [line for line in output.splitlines() if not line.startswith("training ")]
    assert len(others) == 2  # how many there are, and that one
    assert [row["train.batch_size"] for row in _rows(_record(project, "large"))] == ["64"]


def test_a_failed_first_training_writes_no_record(project: Project) -> None:
    """More threads than cores: the reason in one line."""
    text = "  failing: {question: 'Why?', models: [ln], seeds: 1, set: {train.threads: 200}}\n"
    project.write("studies.yaml", (STUDIES + text).encode())
    output = project.run(*_study("failing"), status=1)
    assert "ln seed 0 (train.threads is 200, but this process may use" in output
    assert not _record(project, "failing").exists()
    assert not _record(project, "failing").with_suffix(".md").exists()
    project.write("studies.yaml", STUDIES.encode())


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_study_outlives_its_shell_and_keeps_a_row_added_meanwhile(project: Project) -> None:
    log, record = project.folder / "n.log", _record(project, "one")
    shell = project.start("sh", "-c", "nohup python -m stages.studies one >n.log 2>&1 & wait")
    wait_for(lambda: "trainings to do" in _text(log))
    shell.kill()
    shell.communicate()
    record.write_text("\ufeffmodel,seed,test_accuracy,recipe\nln,9,0.5,rother\n")  # with a BOM
    wait_for(lambda: _rows(record)[0].get("validation_accuracy"), seconds=180)
    assert [(row["seed"], row["test_accuracy"] == "0.5") for row in _rows(record)] == [
        ("0", False),
        ("9", True),
    ]


@pytest.mark.torture
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


HEADER = "model,seed,train.epochs,test_accuracy,test_loss,recipe"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{HEADER}\nbn,0,3,0.9,0.1,ra\nbn,0,3,0.9,0.1,ra\n", "row 2 repeats the training"),
        (f"{HEADER}\nbn,00,3,0.9,0.1,ra\n", "row 1 has the seed '00', not a whole number"),
        (f"{HEADER}\nbn,0,3,32.4,0.1,ra\n", "the test_accuracy '32.4', not a fraction from 0 to"),
        (f"{HEADER}\nbn,0,3,0.9,nan,ra\n", "row 1 has the test_loss 'nan', not a number"),
        (f"{HEADER}\nbn,0,3,0.9,0.1,ra,5\n", "row 1 has 7 cells for 6 columns"),
        (f"{HEADER}\nbn,0,3\n", "row 1 has 3 cells for 6 columns"),
        (f"{HEADER}\nbn,0,3,0.9,0.1, ra\n", "row 1 has the recipe ' ra', not a digest such as r0"),
        (f"{HEADER}\n,0,3,0.9,0.1,ra\n", "row 1 has no model"),
        (f"{HEADER}\nBN,0,3,0.9,0.1,ra\n", "row 1 has the model 'BN', not one of bn, gn, ln, "),
        (f"outcome,{HEADER}\nOK,bn,0,3,0.9,0.1,ra\n", "row 1 has the outcome 'OK', not ok or di"),
        (f"outcome,{HEADER}\n,bn,1,3,0.9,0.1,ra\n", "row 1 has the outcome ''"),
        ("model,seed,recipe,train.epochs,train.epochs\n,\n", "column 'train.epochs' appears twice"),
        ("model,seed,train.seed,recipe\n,,,\n", "'train.seed' contradicts the column seed"),
        ("model,seed,train_epochs,recipe\n,\n", "there is no column 'train_epochs'"),
        ("model,recipe\n,\n", "the column 'seed' is missing"),
        ("model,seed,recipe\nbn,\udcff\n", "is not a CSV file"),
        ('model,seed,recipe\nbn,"1\n', "is not a CSV file"),
    ],
)
def test_bad_records(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(PipelineError, match=message) as caught:
        read_rows(tmp_path / "t.csv")
    assert str(caught.value).endswith("t.csv`")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "model,seed\n", f"{HEADER}\n"])
def test_a_record_without_rows_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    assert read_rows(tmp_path / "t.csv") == []


# What stands in place of `models: [ln]`, and the line that must come of it.
BAD = [
    ("models: [ln, ln]", "models has 'ln' twice; allowed: once"),
    ("models: []", r"models is \[\]; allowed: a list of models"),
    ("models: [3]", r"models\.0 is 3; allowed: a list of models"),
    ("models: [ln], seeds: 0", "seeds is 0; allowed: an integer from 1"),
    ("model: [ln]", r"model is not a known key; did you mean models\?"),
    ("models: [ln], recipe: x", "recipe is 'x'; allowed: endless"),
    ("models: [ln], beside: x", "beside is 'x'; allowed: "),
    ("models: [ln], vary: {train.epochs: []}", "vary has an empty list"),
    ("models: [ln], vary: {train.epochs: [1, 1]}", "vary has .* twice"),
    ("models: [ln], vary: {train.seed: [1, 2]}", "train.seed is set; allowed"),
    ("models: [ln], set: {epochs: 3}", "epochs is 3; allowed: names such as"),
    ("models: [ln], set: {train.epochs: [3]}", r"train\.epochs is \[3\]; allowed"),
    ("models: [ln], vary: {a.b: [1, 2], c.d: [0]}", "vary has lists of .*; allowed: all of one"),
    ("models: [ln], vary: {data.validation_images: [0, 9]}", "images varies"),
    ("models: [ln], vary: {a.b: [1]}, variants: [{a.b: 1}]", "both given"),
    ("models: [ln], vary: {a.b: [1]}, situations: [{when: x, at: 3}]", "has at '3'; allowed: 1"),
    ("models: [bn, ln], shifts: true, situations: [{when: x}]", "allowed with shifts: words with"),
    ("models: [ln], situations: [{when: x, readings: true}]", "the study asks nothing of them"),
    (
        "models: [ln], vary: {a.b: [1, 2]}, published: "
        "{network: n, source: s, axis: x, at: [1, 2], errors: {ln: [3.5]}}",
        "published.errors has 1 of 'ln'; allowed: one for each value",
    ),
]


@pytest.mark.parametrize(("new", "message"), BAD)
def test_bad_declarations(new: str, message: str, tmp_path: Path) -> None:
    old = "models: [ln], seeds: 1" if "seeds" in new else "models: [ln]"
    assert STUDIES.count(old) == 1
    (tmp_path / "s.yaml").write_text(STUDIES.replace(old, new))
    with pytest.raises(ParamsError, match=message) as caught:
        read_studies(tmp_path / "s.yaml")
    assert str(caught.value).startswith(f"{tmp_path / 's.yaml'}: the study 'one': ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"3", b"studies: [1]", b"studies: {a: 3}", b"\xff", b"["])
def test_file_that_declares_no_studies(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes(content)
    with pytest.raises(ParamsError, match=r"s\.yaml") as caught:
        read_studies(tmp_path / "s.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("part", "is_sorted"), [(0, False), (4, True)])
def test_scores_by_batches_composed_as_in_training(
    params: Params, small_dataset: Dataset, part: int, is_sorted: bool
) -> None:
    """As the network itself computes while it learns, batch by batch."""
    changes = {"models__bn__normalization_batch": part, "train__sort_batches": is_sorted}
    changed = change(params, train__batch_size=8, network__dropout=0.0, **changes)
    recipe = Recipe.of("bn", changed)
    torch.manual_seed(0)
    network, split = network_for(recipe).train(), small_dataset.train
    right = 0
    for start in range(0, len(split), 8):
        batch = range(start, min(start + 8, len(split)))
        order = sorted(batch, key=lambda i: int(split.labels[i])) if is_sorted else list(batch)
        images = small_dataset.pixels.standardize(to_floats(split.images[order]))
        right += int((network(images).argmax(1) == split.labels[order]).sum())
    scored = score_as_trained(network, recipe, split, small_dataset.pixels)
    assert scored == pytest.approx(right / len(split))


def _declare(**keys: object) -> Study:
    return Study(**{"name": "s", "question": "?", "models": ["bn", "gn"], "seeds": 2, **keys})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"set": {"train.epoch": 3}}, r"the study s: train\.epoch is not a known key"),
        ({"set": {"train.epochs": "many"}}, r"the study s: train\.epochs is 'many'; allowed"),
        ({"set": {"train.epochs.x": 3}}, r"train\.epochs\.x names no parameter"),
        ({"set": {"train.augmentation": 3}}, r"train\.augmentation names no parameter"),
        ({"models": ["xn"]}, r"models has 'xn'; allowed: bn, gn, ln"),
        ({"vary": {"train.threads": [1, 2]}}, r"is the same training as with"),
        ({"vary": {"model.channels_per_group": [1, 2]}}, r"bn\.channels_per_group is not a known"),
    ],
)
def test_bad_plans(keys: dict[str, object], message: str, params: Params) -> None:
    with pytest.raises(ParamsError, match=message):
        plan(_declare(**keys), params)


def test_plan_by_hand(params: Params) -> None:
    study = _declare(
        set={"train.epochs": 8},
        vary={"model.l1": [0.5, 0.25], "models.gn.channels_per_group": [1, 2]},
    )
    base = {"train__epochs": 8}
    assert [arm.recipe for arm in plan(study, params)["gn"]] == [
        Recipe.of("gn", change(params, **base, models__gn__l1=l1, models__gn__channels_per_group=n))
        for l1, n in ((0.5, 1), (0.25, 2))
    ]
    assert [arm.recipe for arm in plan(study, params)["bn"]] == [
        Recipe.of("bn", change(params, **base, models__bn__l1=l1)) for l1 in (0.5, 0.25)
    ]
    rows = [training.row for training in list_trainings(study, params)]
    assert rows[1] == {
        **{"model": "gn", "seed": "0", "model.l1": "0.5"},
        "models.gn.channels_per_group": "1",
    }
    assert len(rows) == 8
    assert list_trainings(study, params)[-1].recipe.train.seed == 1


def test_a_control_is_planned_once(params: Params) -> None:
    study = _declare(vary={"models.bn.l1": [0, 0.1, 0.2]}, models=["bn", "gn", "ln"])
    trainings = list_trainings(study, params)
    assert [x.arm.model for x in trainings] == 2 * ["bn", "gn", "ln", "bn", "bn"]
    assert collect(study, params, []).controls == ["gn", "ln"]


@pytest.mark.parametrize("study", DECLARED, ids=[study.name for study in DECLARED])
def test_the_declared_studies_can_be_planned(study: Study) -> None:
    """Upon params.yaml as it is: each parameter exists and allows each value."""
    assert study.question.endswith("?")
    assert list_trainings(study, load_params(ROOT / "params.yaml"))
    assert study.scores_test == (not study.name.endswith("-search"))


def _row(study: Study, params: Params, accuracy: float, index: int, **more: str) -> Row:
    training = list_trainings(study, params)[index]
    result = {"test_accuracy": f"{accuracy}", "recipe": training.recipe.digest}
    return training.row | result | more


def test_summary_by_hand(params: Params) -> None:
    study = _declare(vary={"models.bn.l1": [0, 0.1]})  # trains bn, gn, bn with each seed
    rows = [
        _row(study, params, 0.98, 0, machine="a"),
        _row(study, params, 0.99, 3, machine="b"),
        _row(study, params, 0.97, 1, machine="a"),
        _row(study, params, 0.5, 2),
        _row(study, params, 0.5, 5) | {"outcome": "diverged at epoch 1, step 2"},
        _row(study, params, 0.5, 5) | {"recipe": "rold"},
    ]
    results = collect(study, params, rows)
    question, _, header, _, *lines, _, notes = summarize(results).splitlines()
    assert question == "?"
    assert header == "| l1 | seeds | bn | gn | all |"
    # (98 + 99) / 2; the deviation of two is their distance / sqrt(2)
    assert lines[0] == "| 0 | 0, 1 | 98.500 ± 0.707 | 97.000 | 98.000 |"
    # One training that diverged counts as 10 % in the mean of all: (50 + 10 + 97) / 3.
    assert lines[1] == "| 0.1 | 0, 1 | 50.000, 1 of 2 diverged | 97.000 | 52.333 |"
    assert "What varies leaves gn unchanged." in notes
    assert notes.endswith(
        "Rows of other recipes were left out: 1. The trainings ran on 2 types of machine."
    )


def test_a_new_row_replaces_its_own_training_alone() -> None:
    """One by another recipe was trained for itself, and stays."""
    old = {"model": "bn", "seed": "0", "recipe": "ra", "test_loss": "1"}
    others = [old | {"recipe": "rb"}, old | {"seed": "1"}, old | {"model": "gn"}]
    new = old | {"test_loss": "2"}
    assert merge([old, *others], [new]) == [*others, new]


def test_shifted_rows_of_another_recipe_stay(tmp_path: Path, params: Params) -> None:
    study = _declare(shifts=True)
    rows = [ShiftRow("ln", "ln", None, "none", 0.0, accuracy) for accuracy in (0.5, 0.6, 0.7)]
    with contextlib.chdir(tmp_path):
        for recipe, row in zip(("ra", "rb", "ra"), rows, strict=True):
            add_shifted(study, {"model": "ln", "seed": "0", "recipe": recipe}, [row])
        kept = {row.recipe: row.accuracy for row in read_shifted(study)}
    assert kept == {"ra": 0.7, "rb": 0.6}


def test_networks_are_kept_as_they_were(tmp_path: Path) -> None:
    study = _declare(networks=True)
    first, second = build("batch").state_dict(), build("layer").state_dict()
    with contextlib.chdir(tmp_path):
        add_networks(study, {("bn", 0, "ra"): first})
        add_networks(study, {("ln", 3, "ra"): second, ("bn", 0, "ra"): first})
        read = read_networks(study)
        assert set(read) == {("bn", 0, "ra"), ("ln", 3, "ra")}
        assert all(torch.equal(read["bn", 0, "ra"][name], x) for name, x in first.items())
        write_tensors(networks_path(study), {"bn.0.ra.x": torch.zeros(1)}, {})
        with pytest.raises(PipelineError, match=r"holds 'bn\.0\.ra\.x', not MODEL/SEED/RECIPE"):
            read_networks(study)


def test_the_mixture_was_chosen_by_held_out_images() -> None:
    """By the mean accuracy over these shifts; so were the channels of a group of gn beside it."""
    declared = {study.name: study for study in DECLARED}
    record = ROOT / declared["mixture-search"].record
    arms = {(row["model"], row["recipe"]): row for row in _rows(record)}
    accuracies: dict[tuple[str, str], list[float]] = {}
    for row in _rows(record.with_suffix(".shifts.csv")):
        if row["reading"] == row["model"] and row["shift"] in ("contrast", "brightness", "noise"):
            arm = arms[row["model"], row["recipe"]]
            own = arm["models.bn.layer_norm_first"] or arm["models.gn.channels_per_group"]
            accuracies.setdefault((row["model"], own), []).append(float(row["accuracy"]))
    best = sorted(accuracies, key=lambda arm: mean(accuracies[arm]), reverse=True)
    chosen = {model: next(own for of, own in best if of == model) for model in ("bn", "gn")}
    for name in ("mixture", "mixture-fashion"):
        study = declared[name]
        assert study.vary == {"models.bn.layer_norm_first": [0, int(chosen["bn"])]}
        assert study.set["models.gn.channels_per_group"] == int(chosen["gn"])
