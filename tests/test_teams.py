"""What one person trained, another fetches: two clones and a remote that they share."""

import re

import pytest

from tests.conftest import Project


def _ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([\w-]+)'", output)


@pytest.fixture(scope="module")
def clones(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """Two clones of one bare repository; the first has trained, and pushed what it trained."""
    folder = tmp_path_factory.mktemp("team")
    first = finished.clone(folder / "first")
    second = object.__new__(Project)
    second.folder = folder / "second"
    first.run("dvc", "remote", "add", "--default", "team", str(folder / "store"))
    first.commit("a remote")
    first.run("git", "clone", "--quiet", "--bare", ".", str(folder / "hub.git"))
    first.run("git", "remote", "add", "origin", str(folder / "hub.git"))
    first.run("dvc", "push")
    first.run("git", "clone", "--quiet", str(folder / "hub.git"), str(second.folder))
    return first, second


def test_the_second_trains_nothing(clones: tuple[Project, Project]) -> None:
    first, second = clones
    assert _ran(second.run("dvc", "repro", "--pull")) == ["prepare-data"]
    assert second.outputs() == first.outputs()
    assert second.run("git", "status", "--porcelain") == ""
    assert _ran(second.run("dvc", "repro")) == []


def test_an_experiment_that_was_pushed_trains_nothing_either(
    clones: tuple[Project, Project],
) -> None:
    first, second = clones
    change = ("-S", "models.gn.channels_per_group=2")
    assert _ran(first.run("dvc", "exp", "run", "-n", "twos", *change, "train-gn")) == ["train-gn"]
    first.run("dvc", "exp", "push", "origin", "twos")
    second.run("dvc", "exp", "pull", "origin", "twos")
    second.run("dvc", "exp", "apply", "twos")
    assert "channels_per_group: 2" in (second.folder / "params.yaml").read_text()
    assert _ran(second.run("dvc", "repro", "train-gn")) == []
    assert second.outputs()["models/gn.safetensors"] == first.outputs()["models/gn.safetensors"]
