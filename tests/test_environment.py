"""`make environment`, for real, with one package of a few lines instead of 6 GB."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, wait_for

BULK = 4000  # files of version 3, which is killed while pip writes them


class Folder:
    """A project of nothing but an environment, in a path with a space."""

    def __init__(self, path: Path, wheels: Path, pin: str = "tiny==1") -> None:
        self.path, self.venv = path, path / ".venv"
        self._wheels = wheels
        (path / ".ci").mkdir(parents=True)
        for file in ("Makefile", ".ci/environment.py"):
            shutil.copy(ROOT / file, path / file)
        self.pin(pin)

    def pin(self, text: str) -> None:
        (self.path / "requirements.txt").write_text(f"# pins\n{text}\n    # via nothing\n")

    def start(self, has_network: bool = True) -> subprocess.Popen[str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "MAKE", "MFLAGS", "PYTHON"))
        }
        if has_network:
            environment["PIP_FIND_LINKS"] = str(self._wheels)
        return subprocess.Popen(
            ["make", "environment", f"PYTHON={sys.executable}"],
            cwd=self.path,
            env=environment | {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def make(self, is_fit: bool = True, has_network: bool = True) -> str:
        """Run `make environment`, which ends well or, unless ``is_fit``, does not."""
        process = self.start(has_network)
        output, error = process.communicate(timeout=120)
        assert (process.returncode == 0) == is_fit, output + error
        return output + error

    def state(self) -> dict[str, tuple[int, int]]:
        """Return what any change of the environment's files changes."""
        there = self.venv.resolve()
        return {
            str(path.relative_to(there)): (path.lstat().st_ino, path.lstat().st_mtime_ns)
            for path in there.rglob("*")
            if not path.is_dir() and path.suffix != ".pyc"
        }

    def says(self, command: str) -> str:
        run = ["env", "-u", "MAKELEVEL", "-u", "MAKEFLAGS", "sh", "-c", command]
        return subprocess.run(run, cwd=self.path, capture_output=True, text=True).stdout.strip()

    def copy(self, path: Path) -> "Folder":
        shutil.copytree(self.path, path, symlinks=True)
        twin = object.__new__(Folder)
        twin.path, twin.venv, twin._wheels = path, path / ".venv", self._wheels
        return twin


def write_wheel(folder: Path, version: int) -> None:
    info = f"tiny-{version}.dist-info"
    files = {
        "tiny.py": f"import sys\n\n\ndef main():\n    print({version}, sys.prefix)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ntiny = tiny:main\n",
    }
    if version == 3:
        files = {f"bulk/{number}": "" for number in range(BULK)} | files
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in files)
    with zipfile.ZipFile(folder / f"tiny-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for version in (1, 2, 3):
        write_wheel(folder, version)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Folder:
    """With an environment that `make` made; copy it before a change."""
    folder = Folder(tmp_path_factory.mktemp("environment") / "a project", wheels)
    folder.make()
    return folder


@pytest.fixture
def own(made: Folder, tmp_path: Path) -> Folder:
    """A copy of that, with an environment of its own."""
    folder = made.copy(tmp_path / "own project")
    folder.make(has_network=False)
    return folder


def test_it_is_made_and_works(made: Folder) -> None:
    assert made.says(".venv/bin/tiny") == f"1 {made.venv}"
    assert made.says(".venv/bin/python -c 'import tiny; tiny.main()'") == f"1 {made.venv}"


def test_one_that_fits_is_left_as_it_is(made: Folder) -> None:
    before = made.state()
    os.utime(made.path / "requirements.txt")
    assert made.make(has_network=False) == ""
    assert made.state() == before


def _link_to_one_of_make(folder: Folder, shared: Folder) -> None:
    folder.venv.symlink_to(shared.venv)


def _link_to_one_of_others(folder: Folder, shared: Folder) -> None:
    (shared.venv / "made-by-make").unlink()
    folder.venv.symlink_to(shared.venv)


def _one_of_others(folder: Folder, shared: Folder) -> None:
    (shared.venv / "made-by-make").unlink()
    shared.venv.rename(folder.venv)


@pytest.mark.parametrize("give", [_link_to_one_of_make, _link_to_one_of_others, _one_of_others])
def test_one_that_make_did_not_make_here_is_used_or_refused_but_never_changed(
    give: Callable[[Folder, Folder], None], own: Folder, wheels: Path, tmp_path: Path
) -> None:
    folder = Folder(tmp_path / "folder", wheels)
    give(folder, own)
    before = folder.state()
    assert folder.make() == ""
    folder.pin("tiny==2")
    error = folder.make(is_fit=False)
    assert ".venv, which make did not create and so leaves alone, lacks tiny==2; run" in error
    assert folder.state() == before


@pytest.mark.parametrize("has_target", [True, False])
def test_a_link_that_leads_to_no_environment_is_refused(
    has_target: bool, wheels: Path, tmp_path: Path
) -> None:
    folder, target = Folder(tmp_path / "folder", wheels), tmp_path / "target"
    if has_target:
        target.mkdir()
    folder.venv.symlink_to(target)
    assert ".venv/bin/python cannot be run" in folder.make(is_fit=False)
    assert not has_target or list(target.iterdir()) == []


def test_other_pins_without_a_network_cost_nothing(own: Folder) -> None:
    before = own.state()
    own.pin("tiny==2")
    assert ".venv does not have the versions of requirements.txt" in own.make(
        False, has_network=False
    )
    assert own.state() == before
    own.pin("tiny==1")
    own.make(has_network=False)
    assert own.state() == before


def test_other_pins_change_what_they_name(own: Folder) -> None:
    python = (own.venv / "bin/python").lstat()
    own.pin("tiny==2\nother==1 ; python_version < '3'")
    own.make()
    assert own.says(".venv/bin/tiny") == f"2 {own.venv}"
    assert (own.venv / "bin/python").lstat() == python


def test_a_copy_runs_itself(own: Folder, tmp_path: Path) -> None:
    copy = own.copy(tmp_path / "its copy")
    shutil.rmtree(own.path)
    copy.make(has_network=False)
    assert copy.says(".venv/bin/tiny") == f"1 {copy.venv}"
    assert copy.says(". .venv/bin/activate && tiny") == f"1 {copy.venv}"
    before = copy.state()
    copy.make(has_network=False)
    assert copy.state() == before


def _kill_once(is_time: Callable[[], object], folder: Folder) -> None:
    """Kill `make` and all that it started; what was to be installed is no good then."""
    process = folder.start()
    wait_for(is_time)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert folder.says(".venv/bin/tiny") == ""


def test_a_creation_that_was_killed_is_made_good_while_a_second_make_waits(
    wheels: Path, tmp_path: Path
) -> None:
    folder = Folder(tmp_path / "killed", wheels)
    _kill_once((folder.venv / "bin").exists, folder)
    both = [folder.start(), folder.start()]
    outputs = sorted("".join(process.communicate(timeout=120)) for process in both)
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0] == ""
    assert folder.says(".venv/bin/tiny") == f"1 {folder.venv}"


def test_an_update_that_was_killed_is_made_good(own: Folder) -> None:
    own.pin("tiny==3")
    packages = next(own.venv.glob("lib/python*/site-packages"))
    _kill_once(lambda: any(packages.glob("bulk/*")), own)
    own.make()
    assert own.says(".venv/bin/tiny") == f"3 {own.venv}"
    assert len(list(packages.glob("bulk/*"))) == BULK


def test_make_alone_lists_every_target(wheels: Path, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "help", wheels)
    listed = [line.split()[1] for line in folder.says("make").splitlines()]
    declared = next(
        line.split()[1:]
        for line in (ROOT / "Makefile").read_text().splitlines()
        if line.startswith(".PHONY:")
    )
    assert listed == declared
    assert not folder.venv.exists()
