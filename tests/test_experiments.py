"""DVC's own experiments, as the README uses them, on a small part of the real data."""

import json
import re
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.experiments import await_queue, read_session, rerun, run

GN = "reports/metrics/gn.json"


def _ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([\w-]+)'", output)


def _errors(project: Project) -> int:
    return json.loads((project.folder / GN).read_text())["errors"]


def _own(finished: Project, folder: Path) -> Project:
    project = finished.clone(folder)
    project.run("git", "config", "user.name", "t")
    project.run("git", "config", "user.email", "t@t")
    return project


@pytest.mark.torture
def test_a_queue_in_a_folder_with_spaces(finished: Project, tmp_path: Path) -> None:
    """Two at once; then the table, a difference, one of them applied, and a branch."""
    project = _own(finished, tmp_path / "a folder")
    for name, rate in (("slow", "0.005"), ("fast", "0.08")):
        change = f"models.gn.learning_rate={rate}"
        project.run("dvc", "exp", "run", "--queue", "-n", name, "-S", change, "evaluate")
    run("dvc", "queue", "start", "-j", "2", at=project.folder)
    await_queue(project.folder)
    assert project.run("git", "status", "--porcelain") == ""

    (command,) = re.findall(r"^\$ (dvc exp show .*)", read_session(), re.MULTILINE)
    shown = project.run("sh", "-c", command)
    rows = re.findall(r"(main|slow|fast)\]? +(\d+) +([\d.]+) *$", shown, re.MULTILINE)
    assert sorted((name, rate) for name, _, rate in rows) == [
        *(("fast", "0.08"), ("main", "0.02"), ("slow", "0.005"))
    ]
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
    errors = {name: int(count) for name, count, _ in rows}

    printed = project.run("dvc", "exp", "diff", "slow", "fast", "--json")
    difference = json.loads(printed)["metrics"][GN]["errors"]
    assert (difference["new"], difference["old"]) == (errors["fast"], errors["slow"])

    assert _errors(project) == errors["main"]
    project.run("dvc", "exp", "apply", "fast")
    assert _errors(project) == errors["fast"]
    assert _ran(project.run("dvc", "repro", "evaluate")) == []
    project.run("dvc", "exp", "branch", "slow", "slower")
    assert "learning_rate: 0.005" in project.run("git", "show", "slower:params.yaml")


def test_the_session_of_the_readme_is_readable() -> None:
    assert max(map(len, read_session().splitlines())) <= 80


@pytest.mark.torture
def test_the_session_of_the_readme_is_repeatable() -> None:
    """On a machine of the type that wrote it down; `make experiments` writes it down anew."""
    session = read_session()
    assert _without_hashes(rerun(session)) == _without_hashes(session)


def _without_hashes(session: str) -> str:
    return re.sub(r"\b[0-9a-f]{7} \[", "[", session)


@pytest.mark.torture
@pytest.mark.parametrize("where", ["here", "in a temporary folder", "in a worktree"])
def test_one_experiment(where: str, finished: Project, tmp_path: Path) -> None:
    project = _own(finished, tmp_path / "project")
    before = project.outputs()
    if where == "in a worktree":
        project.run("git", "worktree", "add", "--quiet", "-b", "tree", "../a tree")
        cache = str(project.folder / ".dvc/cache")
        project.folder = tmp_path / "a tree"
        project.run("dvc", "cache", "dir", "--local", cache)
        project.run("dvc", "checkout")
    options = ["--temp"] if where == "in a temporary folder" else []
    change = ("-S", "models.gn.channels_per_group=2")
    ran = _ran(project.run("dvc", "exp", "run", *options, "-n", "twos", *change))
    assert [name for name in ran if name != "prepare-data"] == ["train-gn", "evaluate", "report"]
    if options:
        assert project.outputs() == before
        project.run("dvc", "exp", "apply", "twos")
    assert _ran(project.run("dvc", "repro")) == []
    assert project.outputs()["models/gn.safetensors"] != before["models/gn.safetensors"]


@pytest.mark.torture
def test_a_merge_of_two_experiments(finished: Project, tmp_path: Path) -> None:
    """What each has trained is in the cache, so that only evaluation and report run again."""
    project = _own(finished, tmp_path / "project")
    for name, change in {
        "gn-twos": "models.gn.channels_per_group=2",
        "ln-slow": "models.ln.learning_rate=0.005",
    }.items():
        project.run("dvc", "exp", "run", "-n", name, "-S", change)
        project.run("dvc", "exp", "branch", name, name)
        project.run("git", "checkout", "--quiet", "--", ".")
    project.run("git", "merge", "--quiet", "gn-twos")
    assert "CONFLICT" in project.run("git", "merge", "--quiet", "ln-slow", status=1)
    assert "<<<" not in (project.folder / "params.yaml").read_text()
    project.run("git", "checkout", "--ours", "dvc.lock", "reports")
    assert _ran(project.run("dvc", "repro")) == ["evaluate", "report"]
    project.commit("merged")
    assert "up to date" in project.run("dvc", "status")
