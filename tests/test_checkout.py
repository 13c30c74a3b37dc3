"""The same bytes whatever the checkout's settings, an editor's files, or the version of Python."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT, Project

FOREIGN = (".DS_Store", "._a", "Thumbs.db", "desktop.ini", "a~", ".#a", "#a#", ".a.swp", ".idea/a")


def _run(*command: str, at: Path) -> str:
    return subprocess.run(command, cwd=at, check=True, capture_output=True, text=True).stdout


def test_a_clone_with_windows_line_ends_has_the_same_bytes(
    finished: Project, tmp_path: Path
) -> None:
    clone, origin = tmp_path / "clone", str(finished.folder)
    _run("git", "-c", "core.autocrlf=true", "clone", "-q", origin, "clone", at=tmp_path)
    names = _run("git", "ls-files", "-z", at=clone).split("\0")[:-1]
    assert "stages/train.py" in names
    differing = [n for n in names if (clone / n).read_bytes() != (finished.folder / n).read_bytes()]
    assert differing == []


def test_files_of_editors_and_finders_enter_no_hash(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".dvcignore", tmp_path)
    folder = tmp_path / "raw"
    (folder / ".idea").mkdir(parents=True)
    (folder / "images.gz").write_bytes(b"data")
    (folder / ".gitkeep").touch()
    _run("dvc", "init", "--quiet", "--no-scm", at=tmp_path)
    _run("dvc", "add", "--quiet", "raw", at=tmp_path)
    assert "nfiles: 2\n" in (tmp_path / "raw.dvc").read_text()
    for name in FOREIGN:
        (folder / name).write_text("foreign")
    assert "up to date" in _run("dvc", "status", at=tmp_path)
    (folder / "labels.gz").touch()
    assert "modified" in _run("dvc", "status", at=tmp_path)


def test_every_python_gets_the_same_versions() -> None:
    """The page names them, and other ones may compute other bytes."""
    names = re.findall(r"(?m)^([a-z][\w.-]*)==", (ROOT / "requirements.txt").read_text())
    assert {"numpy", "scipy", "torch"} <= set(names)
    assert len(names) == len(set(names))
