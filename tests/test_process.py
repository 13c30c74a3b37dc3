"""Stages as processes: their exit status, their one line, their one writer, their starter."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, Project, new_project, wait_for

LONG = pytest.mark.torture


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with prepared data of 1,000 training images, and a training of many epochs."""
    project = new_project(tmp_path_factory.mktemp("command"))
    project.make_small(epochs=1000, images=1_000)
    project.run("python", "-m", "stages.prepare_data")
    return project


@pytest.fixture
def training(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A training of bn that has begun, in a session of its own."""
    process = project.start(sys.executable, "-m", "stages.train", "bn")
    wait_for(lambda: list((project.folder / ".resume").glob("bn-*")))
    yield process
    process.kill()
    process.wait()
    for path in (project.folder / ".resume").glob("bn-*"):
        path.unlink()


def test_interrupt_is_one_line_and_130(training: subprocess.Popen[str]) -> None:
    training.send_signal(signal.SIGINT)
    _, error = training.communicate(timeout=30)
    assert training.returncode == 130
    assert error == "train-bn: interrupted\n"


def test_a_python_without_the_packages_is_named(project: Project) -> None:
    bare = (sys.executable, "-S")  # without site-packages
    run = project.try_run(*bare, "-m", "stages.train", "bn")
    assert run.returncode == 1
    assert re.fullmatch(r".+ has no filelock, pydantic, torch; activate \.venv .*\n", run.stderr)


def test_interrupt_while_python_still_imports(project: Project) -> None:
    process = project.start(sys.executable, "-m", "stages.train", "gn")
    wait_for(lambda: "torch" in _mapped_files(process.pid))
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error.strip().endswith("interrupted")
    assert len(error.splitlines()) == 1


def _mapped_files(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except FileNotFoundError:
        return pytest.skip("needs /proc")


def test_second_training_of_a_model_is_refused(
    project: Project, training: subprocess.Popen[str]
) -> None:
    training.send_signal(signal.SIGSTOP)  # it needs no CPU while the other waits
    output = project.run("python", "-m", "stages.train", "bn", status=1)
    assert output == "train-bn: another process runs this stage here; wait for its end\n"
    assert training.poll() is None


@pytest.mark.parametrize("is_read", [True, pytest.param(False, marks=LONG)])
def test_training_ends_with_the_process_that_started_it(is_read: bool, project: Project) -> None:
    script = "DVC_STAGE=train-bn python -m stages.train bn; true"  # DVC sets it
    starter = project.start("sh", "-c", script)
    wait_for(lambda: len(psutil.Process(starter.pid).children()) == 1)
    child = psutil.Process(starter.pid).children()[0]
    wait_for(lambda: _epochs(project) > 0)
    if not is_read:
        starter.stderr.close()
    os.kill(starter.pid, signal.SIGKILL)  # not reaped before the training has ended
    wait_for(lambda: not child.is_running(), seconds=5)
    starter.wait()
    assert not is_read or "process that started it is gone" in starter.stderr.read()
    _forget(project)


@pytest.mark.parametrize(
    ("dead", "shell"),  # the shell may stay between dvc and its stage
    [
        ("dvc", "/bin/sh"),
        ("make", "/bin/bash"),
        pytest.param("dvc", "/bin/bash", marks=LONG),
        pytest.param("make", "/bin/sh", marks=LONG),
        pytest.param("runner", "/bin/bash", marks=LONG),
        pytest.param("runner", "/bin/sh", marks=LONG),
    ],
)
def test_training_ends_with_what_runs_the_pipeline(dead: str, shell: str, project: Project) -> None:
    project.write("small.mk", b"all:\n\tpython -m stages\n")
    command = {
        "dvc": ("dvc", "repro", "--single-item", "train-bn"),
        "runner": (sys.executable, "-m", "stages"),
        "make": ("make", "-f", "small.mk"),
    }
    top = project.start("env", f"SHELL={shell}", *command[dead])
    wait_for(lambda: _epochs(project) > 0)
    family = psutil.Process(top.pid).children(recursive=True)
    assert any("stages.train" in process.cmdline() for process in family)
    top.kill()
    left = psutil.wait_procs(family, timeout=5)[1]
    # A zombie has ended: only whoever adopted it has not yet asked how.
    assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []
    top.communicate()
    _forget(project)


@pytest.mark.parametrize(
    "command",
    [
        "nohup python -m stages.train bn",
        pytest.param("setsid python -m stages.train bn", marks=LONG),
        pytest.param("dvc repro --single-item train-bn", marks=LONG),
    ],
)
def test_training_outlives_a_shell_that_has_left(command: str, project: Project) -> None:
    shell = project.start("sh", "-c", f"{command} >log 2>&1 & echo $!; wait")
    family = [psutil.Process(int(shell.stdout.readline()))]
    wait_for(lambda: _epochs(project) > 0)
    shell.kill()
    shell.communicate()
    _check_that_it_goes_on(project)
    for process in [*family, *family[0].children(recursive=True)]:
        process.kill()
    _forget(project)


@LONG
def test_training_of_a_container_whose_first_process_calls_dvc(project: Project) -> None:
    namespace = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    if project.try_run(*namespace, "true").returncode:
        pytest.skip("needs namespaces that any user may make")
    code = "from dvc.repo import Repo; Repo().reproduce('train-bn', single_item=True)"
    container = project.start(*namespace, "--kill-child", sys.executable, "-c", code)
    wait_for(lambda: _epochs(project) > 0)
    _check_that_it_goes_on(project)
    container.kill()
    container.communicate()
    _forget(project)


@LONG
@pytest.mark.parametrize("is_cut_off", [True, False])
def test_files_are_not_held_by_a_dvc_that_has_ended(is_cut_off: bool, tmp_path: Path) -> None:
    """What DVC leaves if it is killed as it notes them; or in a container, of other PIDs."""
    project = new_project(tmp_path)
    project.make_small(epochs=1000)
    holder = {"pid": os.getppid(), "cmd": "dvc repro some-stage"}
    notes = {"write": {str(tmp_path / "data/prepared"): holder}, "read": {}}
    (tmp_path / ".dvc/tmp").mkdir(exist_ok=True)
    project.write(".dvc/tmp/rwlock", b"" if is_cut_off else json.dumps(notes).encode())
    assert project.try_run("dvc", "repro", "prepare-data").returncode == 255
    run = project.start(sys.executable, "-m", "stages")
    wait_for(lambda: _epochs(project) > 0)
    run.send_signal(signal.SIGINT)
    output, error = run.communicate(timeout=30)
    assert "busy" not in output + error
    assert error == "repro: interrupted\n"


def test_files_that_a_living_dvc_holds_stay_held(project: Project) -> None:
    dvc = project.start("dvc", "repro", "--single-item", "train-bn")
    wait_for(lambda: _epochs(project) > 0)
    os.killpg(dvc.pid, signal.SIGSTOP)  # they need no CPU while the other waits
    output = project.run(sys.executable, "-m", "stages", status=1)
    assert re.search(rf"is busy, it is being blocked by:\s+\(PID {dvc.pid}\)", output)
    os.killpg(dvc.pid, signal.SIGKILL)
    dvc.communicate()
    _forget(project)


def _epochs(project: Project) -> int:
    """Return how many epochs the training of bn that runs has done; 0 before it has begun."""
    history = project.folder / "models/bn.history.csv"
    has_begun = list((project.folder / ".resume").glob("bn-*")) and history.exists()
    return len(history.read_text().splitlines()) - 1 if has_begun else 0


def _check_that_it_goes_on(project: Project) -> None:
    """See that the training of bn lives longer than it takes to notice that it should not."""
    time.sleep(2)
    before = _epochs(project)
    wait_for(lambda: _epochs(project) > before)


def _forget(project: Project) -> None:
    """Remove what a killed training leaves, and what DVC noted of its use of files."""
    for path in [*(project.folder / ".resume").iterdir(), project.folder / ".dvc/tmp/rwlock"]:
        path.unlink(missing_ok=True)


@LONG
def test_training_that_dvc_left_before_it_began_ends_too(project: Project) -> None:
    """As when `dvc` is killed while its training still starts: init has adopted it."""
    script = "DVC_STAGE=train-bn python -m stages.train bn & echo $!; kill -9 $$"
    starter = project.start("sh", "-c", script)
    child = psutil.Process(int(starter.stdout.readline()))
    starter.wait()
    wait_for(lambda: not child.is_running(), seconds=30)
    assert "process that started it is gone" in starter.stderr.read()
    assert not list((project.folder / ".resume").glob("bn-*"))


@LONG
@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit a process's memory")
def test_too_little_memory_is_one_line(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    project.set_param("validation_images", 50_000)
    project.set_param("batch_size", 10_000)
    project.run("python", "-m", "stages.prepare_data")
    output = project.run("sh", "-c", "ulimit -v 5000000; python -m stages.train bn", status=1)
    assert output == (
        "train-bn: out of memory; end other programs, or try a smaller train.batch_size\n"
    )


def test_interrupt_waits_for_a_file_to_be_in_place(tmp_path: Path) -> None:
    code = """
import os, signal
from pathlib import Path
from stages.core.process import prepare_process
from stages.core.files import write_bytes

class Disk(type(Path())):  # on which Ctrl-C comes in the middle of a file
    def write_bytes(self, content):
        super().write_bytes(content[:1])
        os.kill(os.getpid(), signal.SIGINT)
        return super().write_bytes(content)

prepare_process()
write_bytes(Disk("file"), b"content")
print("not interrupted")
"""
    environment = Project.environment() | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"content"
