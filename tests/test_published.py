"""What a clone fetches without training: data/published and dvc.lock belong together."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, Project

BLOBS = "data/published/files/md5"
CACHED = {
    str(out)
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    for out in stage.get("outs", [])
    if isinstance(out, str)  # those of `cache: false` are mappings
}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _pins(lock: str) -> set[str]:
    stages = yaml.safe_load(lock)["stages"].values()
    return {out["md5"] for stage in stages for out in stage["outs"] if out["path"] in CACHED}


def _with_files_of_folders(pins: set[str], folder: Path) -> set[str]:
    listings = [(folder / pin[:2] / pin[2:]).read_text() for pin in pins if pin.endswith(".dir")]
    return pins | {file["md5"] for text in listings for file in yaml.safe_load(text)}


def test_published_is_what_dvc_lock_pins_and_no_more() -> None:
    """As they are, or as they were committed: a run elsewhere pins other bytes."""
    blobs = [path for path in (ROOT / BLOBS).rglob("*") if path.is_file()]
    names = {path.parent.name + path.name for path in blobs}
    for path in blobs:
        content = path.read_bytes()
        assert hashlib.md5(content).hexdigest() == (path.parent.name + path.name)[:32]
    assert sum(path.stat().st_size for path in blobs) < 3_000_000
    locks = [(ROOT / "dvc.lock").read_text(), _git("show", "HEAD:dvc.lock")]
    pinned = next((pins for pins in map(_pins, locks) if pins <= names), None)
    assert pinned, "dvc.lock pins what is not published: run `make publish` and commit"
    assert names == _with_files_of_folders(pinned, ROOT / BLOBS)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The last commit, cloned, with what `dvc pull` fetches."""
    project = Project(tmp_path_factory.mktemp("published") / "a clone")
    _git("clone", "--quiet", str(ROOT), str(project.folder))
    project.run("dvc", "pull")
    return project


def test_the_readme_classifies_a_picture(clone: Project) -> None:
    readme = (ROOT / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(snippet.splitlines()) <= 8
    assert clone.run("python", "-c", snippet) == "7\n"  # as test image 0 is labelled


def test_nothing_is_left_to_train(clone: Project) -> None:
    clone.run("dvc", "repro", "prepare-data")
    assert "up to date" in clone.run("dvc", "status")
    assert clone.run("git", "status", "--porcelain") == ""


def test_an_archive_without_git_says_what_to_do(tmp_path: Path) -> None:
    _git("archive", "--output", str(tmp_path / "archive.tar"), "HEAD")
    project = Project(tmp_path / "archive")
    project.folder.mkdir()
    project.run("tar", "-xf", "../archive.tar")
    said = project.run("python", "-m", "stages", status=1)
    assert said == "repro: this folder is in no git repository, which DVC needs; run `git init`\n"
    project.run("git", "init", "--quiet")
    project.run("dvc", "pull")
    assert (project.folder / "models/gn.safetensors").exists()
