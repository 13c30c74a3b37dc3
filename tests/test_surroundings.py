"""Strange surroundings: a command ends with one line that says what to do, or they change nothing.

Each case is a shell's command, with TRAIN and STUDY for those of this project, and its error.
"""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Project, project_of_studies

STUDIES = """
studies:
  one: {question: "Does it end?", models: [ln], seeds: 1, set: {data.validation_images: 500}}
"""
COMMANDS = {"TRAIN": "python -m stages.train ln", "STUDY": "python -m stages.studies one"}
SHM = "unshare -rm sh -c 'mount -t tmpfs -o {} none /dev/shm; {} STUDY'"
NO_SHM = r"study: /dev/shm cannot be written \({}\), and .*; free space there, .*"
NO_LOCK = r"\S+: \.dvc/tmp/\S+ cannot be locked \([\w ]+\); move the project to a local disk .*"
A_SCRIPT = "a stage runs as a module, in the project's folder: `python -m stages.train gn`"
A_STUDY = "a study runs as a module, in the project's folder: `python -m stages.studies minute`"
REFUSED = {
    "read-only /dev/shm": (SHM.format("ro", ""), NO_SHM.format("Read-only file system")),
    "full /dev/shm": (
        SHM.format("size=4k", "yes >/dev/shm/full 2>/dev/null;"),
        NO_SHM.format("No space left on device"),
    ),
    "no flock": ("touch .dvc/tmp/{train-ln,repro}.lock; python forbid_flock.py 38 TRAIN", NO_LOCK),
    "no flock over NFS": ("python forbid_flock.py 37 TRAIN", NO_LOCK),
    "no flock, pipeline": ("python forbid_flock.py 38 python -m stages", NO_LOCK),
    "full disk for what is printed": (
        "TRAIN >/dev/full",
        r"train-ln: standard output cannot be written \(No space left on device\); send .*",
    ),
    "reader gone": (
        "set -o pipefail; TRAIN | true",
        r"train-ln: standard output cannot be written \(Broken pipe\); send .*",
    ),
    "a script": ("python stages/train.py ln", A_SCRIPT),
    "the folder of the scripts": ("cd stages; python -m train ln", A_SCRIPT),
    "a script of studies": ("python stages/studies/causes.py", A_STUDY),
    "no records of studies": (
        "mv reports/studies kept; touch reports/studies; STUDY;"
        "status=$?; rm reports/studies; mv kept reports/studies; exit $status",
        r"study: \S+one.csv cannot be written \(File exists\); move away what has its name, .*",
    ),
    "too little memory for torch": (
        "ulimit -v 1000000; TRAIN",
        "torch cannot be loaded: `ulimit -v` is too low; try `ulimit -v unlimited`",
    ),
    "an experiment in a shallow clone, which DVC would train and lose": (
        "git config user.name t; git config user.email t@t; git commit -q --allow-empty -m second;"
        "git clone -q --depth 1 file://$PWD shallow; cd shallow;"
        "dvc exp run --temp -S data.split_seed=1 prepare-data 2>&1 | grep ^prepare >&2; exit 1",
        "prepare-data: DVC cannot store .* from a shallow clone; run `git fetch --unshallow`",
    ),
}
CHANGE_NOTHING = {
    "no output": "TRAIN >&-",
    "no errors": "TRAIN 2>&-",
    "no streams": "TRAIN <&- >&- 2>&-",
    "dvc without output": "dvc repro --force --single-item train-ln >&-",
    "Turkish, where the small letter of I is not i": (
        "localedef -i tr_TR -f UTF-8 ./tr_TR.UTF-8; LOCPATH=. LC_ALL=tr_TR.UTF-8 TRAIN"
    ),
    "Python that does not look here": "PYTHONSAFEPATH=1 make -f here.mk",
}
# What costs seconds and is close to another case.
LONG = {
    "read-only /dev/shm",
    "no flock over NFS",
    "no flock, pipeline",
    *(name for name in REFUSED if name.startswith("an experiment")),
    "no output",
    "no errors",
    "dvc without output",
    *(name for name in CHANGE_NOTHING if name.startswith("Turkish")),
}
# As on some network mounts: flock, number 73, gives an error.
FORBID_FLOCK = """
import ctypes, os, struct, sys
fail, allow = (6, 0, 0, 0x50000 + int(sys.argv[1])), (6, 0, 0, 0x7FFF0000)
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, 73), fail, allow]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
prctl = ctypes.CDLL(None).prctl
prctl(38, 1, 0, 0, 0)
assert prctl(22, 2, struct.pack("HP", len(rules), ctypes.addressof(program)), 0, 0) == 0
os.execvp(sys.argv[2], sys.argv[2:])
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="as Linux does them")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = project_of_studies(tmp_path_factory.mktemp("surroundings"), STUDIES)
    project.run("python", "-m", "stages.prepare_data")
    return project


def _as_parameters(cases: dict[str, Any]) -> list[Any]:
    return [
        pytest.param(case, id=name, marks=[pytest.mark.torture] * (name in LONG))
        for name, case in cases.items()
    ]


def _run(project: Project, script: str) -> subprocess.CompletedProcess[str]:
    if "unshare" in script and project.try_run("unshare", "-rm", "true").returncode:
        pytest.skip("needs namespaces that any user may make")
    if "forbid_flock" in script and platform.machine() != "x86_64":
        pytest.skip("knows the numbers of system calls of x86-64 only")
    if "localedef" in script and not Path("/usr/share/i18n/locales/tr_TR").exists():
        pytest.skip("needs glibc's sources of locales: apt-get install locales")
    project.write("forbid_flock.py", FORBID_FLOCK.encode())
    for name, command in COMMANDS.items():
        script = script.replace(name, command)
    return project.try_run("bash", "-c", script)


@pytest.mark.parametrize("case", _as_parameters(REFUSED))
def test_one_line_says_what_to_do(project: Project, case: tuple[str, str]) -> None:
    script, line = case
    run = _run(project, script)
    assert run.returncode == 1
    assert re.fullmatch(line + "\n", run.stderr), run.stderr


@pytest.fixture(scope="module")
def model(project: Project) -> bytes:
    """As trained where nothing is strange."""
    _run(project, "TRAIN")
    return _forget(project)


def _forget(project: Project) -> bytes:
    """Remove the model and the states of its training; return what it was."""
    for path in (project.folder / ".resume").iterdir():
        path.unlink()
    path = project.folder / "models/ln.safetensors"
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.mark.parametrize("script", _as_parameters(CHANGE_NOTHING))
def test_they_change_nothing(project: Project, model: bytes, script: str) -> None:
    makefile = (ROOT / "Makefile").read_text().split("\nhelp:")[0]
    project.write("here.mk", f"{makefile}\nall:\n\t{COMMANDS['TRAIN']}\n".encode())
    run = _run(project, script)
    assert (run.returncode, run.stderr) == (0, "")
    assert _forget(project) == model


def test_a_shell_without_a_path(project: Project) -> None:
    """Git is then where the system has it."""
    shown = "from stages.__main__ import _have_stages_use_this_python as f; f(); import shutil; "
    code = shown + "print(shutil.which('python'), shutil.which('git'))"
    run = project.try_run("env", "-u", "PATH", sys.executable, "-c", code)
    found = (
        str(Path(sys.executable).with_name("python")),
        subprocess.run(
            ["which", "git"], env={"PATH": os.defpath}, capture_output=True, text=True
        ).stdout.strip(),
    )
    assert run.stdout.split() == list(found)
