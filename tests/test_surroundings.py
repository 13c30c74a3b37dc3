"""Strange surroundings: a command ends with one line that says what to do, or they change nothing.

Each case is a shell's command, with TRAIN and STUDY for those of this project, and its error.
"""

import platform
import re
import subprocess
import sys

import pytest

from tests.conftest import Project, project_of_studies

STUDIES = 'studies:\n  two: {question: "Does it end?", models: [ln, gn], seeds: 1}\n'
COMMANDS = {"TRAIN": "python -m stages.train ln", "STUDY": "python -m stages.studies two"}
SHM = "unshare -rm sh -c 'mount -t tmpfs -o {} none /dev/shm; {} STUDY'"
NO_SHM = r"study: /dev/shm cannot be written \({}\), and .*; free space there, .*"
NO_LOCK = r"\S+: \.dvc/tmp/\S+ cannot be locked \([\w ]+\); move the project to a local disk .*"
REFUSED = {
    "read-only /dev/shm": (SHM.format("ro", ""), NO_SHM.format("Read-only file system")),
    "full /dev/shm": (
        SHM.format("size=4k", "yes >/dev/shm/full 2>/dev/null;"),
        NO_SHM.format("No space left on device"),
    ),
    "no flock": ("touch .dvc/tmp/{train-ln,repro}.lock; python forbid_flock.py 38 TRAIN", NO_LOCK),
    "no flock over NFS": ("python forbid_flock.py 37 TRAIN", NO_LOCK),
    "no flock, pipeline": ("python forbid_flock.py 38 python -m stages", NO_LOCK),
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


def _run(project: Project, script: str) -> subprocess.CompletedProcess[str]:
    if "unshare" in script and project.try_run("unshare", "-rm", "true").returncode:
        pytest.skip("needs namespaces that any user may make")
    if "forbid_flock" in script and platform.machine() != "x86_64":
        pytest.skip("knows the numbers of system calls of x86-64 only")
    project.write("forbid_flock.py", FORBID_FLOCK.encode())
    for name, command in COMMANDS.items():
        script = script.replace(name, command)
    return project.try_run("bash", "-c", script)


@pytest.mark.parametrize(("script", "line"), REFUSED.values(), ids=REFUSED)
def test_one_line_says_what_to_do(project: Project, script: str, line: str) -> None:
    run = _run(project, script)
    assert run.returncode == 1
    assert re.fullmatch(line + "\n", run.stderr), run.stderr
