"""`make environment`, for real, with packages of a few lines instead of 6 GB."""

import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, wait_for

BULK = 4000  # files of tiny 3, which is killed while pip writes them


class Folder:
    """A project of nothing but an environment."""

    def __init__(self, path: Path, wheels: Path) -> None:
        self.path, self.venv, self._wheels = path, path / ".venv", wheels
        if not path.exists():
            (path / ".ci").mkdir(parents=True)
            for file in ("Makefile", ".ci/environment.py"):
                shutil.copy(ROOT / file, path / file)
            self.pin("tiny==1")

    def pin(self, text: str) -> None:
        (self.path / "requirements.txt").write_text(f"# pins\n{text}\n    # via nothing\n")

    def start(self, has_network: bool = True) -> subprocess.Popen[str]:
        unwanted = ("PIP_", "MAKE", "MFLAGS", "PYTHON")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        environment |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
        if has_network:
            environment["PIP_FIND_LINKS"] = str(self._wheels)
        return subprocess.Popen(
            ["make", "environment", f"PYTHON={sys.executable}"],
            **{"cwd": self.path, "env": environment, "text": True, "start_new_session": True},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},
        )

    def make(self, is_fit: bool = True, has_network: bool = True) -> str:
        """Run `make environment`, which ends well or, unless ``is_fit``, does not."""
        process = self.start(has_network)
        output = process.communicate(timeout=120)[0]
        assert (process.returncode == 0) == is_fit, output
        return output

    def state(self) -> dict[str, tuple[bytes, int]]:
        """Return what any change of the environment's files changes."""
        there = self.venv.resolve()
        return {
            str(path.relative_to(there)): (path.read_bytes(), path.lstat().st_mtime_ns)
            for path in there.rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }

    def says(self, command: str) -> str:
        run = ["env", "-u", "MAKELEVEL", "-u", "MAKEFLAGS", "sh", "-c", command]
        return subprocess.run(run, cwd=self.path, capture_output=True, text=True).stdout.strip()

    def copy(self, path: Path, *options: str) -> "Folder":
        subprocess.run(["cp", "-a", *options, self.path, path], check=True)
        return Folder(path, self._wheels)


def _write_wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    info = f"{name}-{version}.dist-info"
    files = {f"bulk/{number}": "" for number in range(BULK * (version == "3"))} | {
        f"{name}.py": f"import sys\n\n\ndef main():\n    print({version!r}, sys.prefix)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in files)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for version in "123":
        _write_wheel(folder, "tiny", version)
    _write_wheel(folder, "torch", "1", "Requires-Dist: nvidia_tiny==1\n")
    _write_wheel(folder, "nvidia_tiny", "1")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Folder:
    """With an environment that `make` made, in a path with a space; copy it before a change."""
    folder = Folder(tmp_path_factory.mktemp("environment") / "a project", wheels)
    folder.make()
    return folder


@pytest.fixture
def own(made: Folder, tmp_path: Path) -> Folder:
    """A copy of that, with an environment of its own."""
    folder = made.copy(tmp_path / "own project")
    folder.make(has_network=False)
    return folder


def test_one_that_fits_works_and_is_left_as_it_is(made: Folder) -> None:
    assert made.says(".venv/bin/tiny") == f"1 {made.venv}"
    before = made.state()
    os.utime(made.path / "requirements.txt")
    assert made.make(has_network=False) == ""
    assert made.state() == before


@pytest.mark.parametrize(("is_link", "is_of_make"), [(True, True), (True, False), (False, False)])
def test_one_that_make_did_not_make_here_is_used_or_refused_but_never_changed(
    is_link: bool, is_of_make: bool, own: Folder, wheels: Path, tmp_path: Path
) -> None:
    folder = Folder(tmp_path / "folder", wheels)
    if not is_of_make:
        (own.venv / "made-by-make").unlink()
    folder.venv.symlink_to(own.venv) if is_link else own.venv.rename(folder.venv)
    before = folder.state()
    assert folder.make() == ""
    folder.pin("tiny==2")
    error = folder.make(is_fit=False)
    assert ".venv, which make did not create and so leaves alone, lacks tiny==2" in error
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


def test_other_pins_change_what_they_name_and_without_a_network_nothing(own: Folder) -> None:
    before = own.state()
    own.pin("tiny==2\nother==1 ; python_version < '3'")
    error = own.make(is_fit=False, has_network=False)
    assert ".venv does not have the versions of requirements.txt" in error
    assert own.state() == before
    own.make()
    assert own.says(".venv/bin/tiny") == f"2 {own.venv}"
    assert own.state()["pyvenv.cfg"] == before["pyvenv.cfg"]


@pytest.mark.parametrize("links", [(), ("--link",)])
def test_a_copy_runs_itself_and_leaves_the_original(
    links: tuple[str, ...], own: Folder, tmp_path: Path
) -> None:
    """Also a copy by hard links, whose files are those of the original."""
    before, copy = own.state(), own.copy(tmp_path / "its copy", *links)
    copy.make(has_network=False)
    assert own.state() == before
    shutil.rmtree(own.path)
    assert copy.says(".venv/bin/tiny") == f"1 {copy.venv}"
    assert copy.says(". .venv/bin/activate && tiny") == f"1 {copy.venv}"
    before = copy.state()
    copy.make(has_network=False)
    assert copy.state() == before


def test_a_torch_for_cpus_is_kept_without_the_packages_of_cuda(
    own: Folder, wheels: Path, tmp_path: Path
) -> None:
    """Beside wheels of both kinds, pip takes that with the local version, which is the newer."""
    own.pin("tiny==1\ntorch==1\nnvidia-tiny==1")
    usual = own.copy(tmp_path / "usual")
    usual.make()
    assert usual.says(".venv/bin/nvidia_tiny") == f"1 {usual.venv}"
    shutil.copytree(wheels, tmp_path / "with-cpu")
    _write_wheel(tmp_path / "with-cpu", "torch", "1+cpu")
    Folder(own.path, tmp_path / "with-cpu").make()
    assert own.says(".venv/bin/torch; .venv/bin/nvidia_tiny") == f"1+cpu {own.venv}"
    before = own.state()
    assert own.make() == ""
    own.pin("tiny==2\ntorch==1\nnvidia-tiny==1")
    own.make()
    assert own.says(".venv/bin/torch; .venv/bin/nvidia_tiny") == f"1+cpu {own.venv}"
    assert own.state()["bin/torch"] == before["bin/torch"]


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
    outputs = sorted(process.communicate(timeout=120)[0] for process in both)
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


def test_make_alone_and_the_hook_make_no_environment(wheels: Path, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "help", wheels)
    listed = [line.split()[1] for line in folder.says("make").splitlines()]
    (declared,) = re.findall(r"(?m)^\.PHONY: (.*)", (ROOT / "Makefile").read_text())
    assert listed == declared.split()
    assert folder.says(f"{ROOT}/.ci/hooks/pre-commit && echo committed") == "committed"
    assert not folder.venv.exists()
