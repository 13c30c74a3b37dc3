"""Stages as processes: their exit status, their one line, their one writer."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Project, wait_for


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with prepared data of 1,000 training images, and a training of many epochs."""
    project = Project(tmp_path_factory.mktemp("command"))
    project.set_param("validation_images", 59_000)
    project.set_param("epochs", 1000)
    project.run("python", "-m", "stages.prepare_data")
    return project


@pytest.fixture
def training(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A training of bn that has begun, in a session of its own."""
    process = project.start(sys.executable, "-m", "stages.train", "bn")
    wait_for(lambda: (project.folder / ".resume/bn.safetensors").exists())
    yield process
    process.kill()
    process.wait()
    (project.folder / ".resume/bn.safetensors").unlink(missing_ok=True)


def test_interrupt_is_one_line_and_130(training: subprocess.Popen[str]) -> None:
    training.send_signal(signal.SIGINT)
    _, error = training.communicate(timeout=30)
    assert training.returncode == 130
    assert error == "train-bn: interrupted\n"


def test_a_python_without_the_packages_is_named(project: Project) -> None:
    bare = (sys.executable, "-S")  # without site-packages
    run = project.try_run(*bare, "-m", "stages.train", "bn")
    assert run.returncode == 1
    assert re.fullmatch(r"\S+ has no psutil, pydantic, torch; activate \.venv .*\n", run.stderr)


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
    output = project.run("python", "-m", "stages.train", "bn", status=1)
    assert output == "train-bn: another process runs this stage here; wait for its end\n"
    assert training.poll() is None


@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize("environment", ["", "DVC_STAGE=train-bn "])  # DVC sets it
def test_training_ends_with_the_process_that_started_it(
    environment: str, is_read: bool, project: Project
) -> None:
    script = f"{environment}{sys.executable} -m stages.train bn; true"
    starter = project.start("sh", "-c", script)
    wait_for(lambda: len(psutil.Process(starter.pid).children()) == 1)
    child = psutil.Process(starter.pid).children()[0]
    wait_for(lambda: (project.folder / ".resume/bn.safetensors").exists())
    if not is_read:
        starter.stderr.close()
    os.kill(starter.pid, signal.SIGKILL)  # not reaped before the training has ended
    wait_for(lambda: not child.is_running(), seconds=5)
    starter.wait()
    assert not is_read or "process that started it is gone" in starter.stderr.read()
    (project.folder / ".resume/bn.safetensors").unlink()


def test_training_that_dvc_left_before_it_began_ends_too(project: Project) -> None:
    """As when `dvc` is killed while its training still starts: init has adopted it."""
    script = f"DVC_STAGE=train-bn {sys.executable} -m stages.train bn & echo $!; kill -9 $$"
    starter = project.start("sh", "-c", script)
    child = psutil.Process(int(starter.stdout.readline()))
    starter.wait()
    wait_for(lambda: not child.is_running(), seconds=30)
    assert not (project.folder / ".resume/bn.safetensors").exists()


def test_bad_params_end_with_2_and_write_nothing(project: Project) -> None:
    project.set_param("momentum", 9)
    before = _files(project)
    output = project.run("python", "-m", "stages.evaluate", status=2)
    project.set_param("momentum", 0.9)
    assert output == (
        "evaluate: params.yaml: train.momentum is 9; allowed: a number from 0 to 0.999, "
        "decay a step of the gradients' running mean\n"
    )
    assert _files(project) == before


def _files(project: Project) -> list[Path]:
    """Return all files but DVC's scratch, where the locks are."""
    return sorted(p for p in project.folder.rglob("*") if ".dvc/tmp" not in str(p))


def test_missing_history_ends_with_1(project: Project) -> None:
    (project.folder / "models/bn.history.csv").unlink(missing_ok=True)
    output = project.run("python", "-m", "stages.evaluate", status=1)
    assert output == ("evaluate: models/bn.history.csv is missing; run `dvc repro train-bn`\n")


def test_unknown_model(project: Project) -> None:
    output = project.run("python", "-m", "stages.train", "in", status=2)
    assert "invalid choice: 'in' (choose from" in output
    assert "Traceback" not in output
