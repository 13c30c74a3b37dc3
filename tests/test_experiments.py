"""DVC's own experiments, as the README uses them, on a small part of the real data."""

import re
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.experiments import read_session, rerun

GN = "reports/metrics/gn.json"


def _ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([\w-]+)'", output)


def _own(finished: Project, folder: Path) -> Project:
    project = finished.clone(folder)
    project.run("git", "config", "user.name", "t")
    project.run("git", "config", "user.email", "t@t")
    return project


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
