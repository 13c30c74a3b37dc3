"""What one person trained, another fetches: two clones and a remote that they share."""

import re
import shutil

import pytest

from tests.conftest import ROOT, Project

# What the README has everyone do once another has trained.
(ROW,) = re.findall(r"(?m)^\| `git push`, `dvc push` \| (.*) \|$", (ROOT / "README.md").read_text())
COMMANDS = [command.split() for command in re.findall("`(.*?)`", ROW)]


def _ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([\w-]+)'", output)


def _bring_up_to_date(project: Project) -> list[str]:
    """Do what the README says; return the stages that ran."""
    return _ran("".join(project.run(*command) for command in COMMANDS))


@pytest.fixture(scope="module")
def clones(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """Two clones of one bare repository; the first has trained, and pushed what it trained."""
    folder = tmp_path_factory.mktemp("team")
    first, second = finished.clone(folder / "first"), Project(folder / "second")
    first.run("dvc", "remote", "add", "--default", "team", str(folder / "store"))
    first.commit("a remote")
    first.run("git", "clone", "--quiet", "--bare", ".", str(folder / "hub.git"))
    first.run("git", "remote", "add", "origin", str(folder / "hub.git"))
    first.run("dvc", "push")
    first.run("git", "clone", "--quiet", str(folder / "hub.git"), str(second.folder))
    return first, second


def test_the_second_trains_nothing(clones: tuple[Project, Project]) -> None:
    first, second = clones
    assert _bring_up_to_date(second) == ["prepare-data"]
    assert second.outputs() == first.outputs()
    assert second.run("git", "status", "--porcelain") == ""
    assert _ran(second.run("dvc", "repro")) == []


def test_removed_folders_come_back_though_the_remote_lacks_them(
    clones: tuple[Project, Project],
) -> None:
    first, second = clones
    for folder in ("data/prepared", "models"):
        shutil.rmtree(second.folder / folder)
    second.run("git", "checkout", "models/.gitignore")
    assert _bring_up_to_date(second) == ["prepare-data"]
    assert second.outputs() == first.outputs()


@pytest.mark.torture
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
