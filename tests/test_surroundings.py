"""Strange surroundings: a command ends with one line that says what to do, or they change nothing.

Each case is a shell's command, with TRAIN and STUDY for those of this project, and its error.
"""

import re
import subprocess
import sys

import pytest

from tests.conftest import Project, project_of_studies

STUDIES = 'studies:\n  two: {question: "Does it end?", models: [ln, gn], seeds: 1}\n'
COMMANDS = {"TRAIN": "python -m stages.train ln", "STUDY": "python -m stages.studies two"}
SHM = "unshare -rm sh -c 'mount -t tmpfs -o {} none /dev/shm; {} STUDY'"
NO_SHM = r"study: /dev/shm cannot be written \({}\), and .*; free space there, .*"
REFUSED = {
    "read-only /dev/shm": (SHM.format("ro", ""), NO_SHM.format("Read-only file system")),
    "full /dev/shm": (
        SHM.format("size=4k", "yes >/dev/shm/full 2>/dev/null;"),
        NO_SHM.format("No space left on device"),
    ),
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="as Linux does them")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = project_of_studies(tmp_path_factory.mktemp("surroundings"), STUDIES)
    project.run("python", "-m", "stages.prepare_data")
    return project


def _run(project: Project, script: str) -> subprocess.CompletedProcess[str]:
    if "unshare" in script and project.try_run("unshare", "-rm", "true").returncode:
        pytest.skip("needs namespaces that any user may make")
    for name, command in COMMANDS.items():
        script = script.replace(name, command)
    return project.try_run("bash", "-c", script)


@pytest.mark.parametrize(("script", "line"), REFUSED.values(), ids=REFUSED)
def test_one_line_says_what_to_do(project: Project, script: str, line: str) -> None:
    run = _run(project, script)
    assert run.returncode == 1
    assert re.fullmatch(line + "\n", run.stderr), run.stderr
