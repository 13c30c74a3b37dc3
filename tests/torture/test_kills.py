"""Ends at any moment: SIGKILL costs no finished epoch and no byte, Ctrl-C leaves nothing behind."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from stages.core.params import MODELS
from tests.conftest import Project, new_project

pytestmark = pytest.mark.torture
EPOCHS = 2
TARGETS = ("dvc alone", "all at once", "the stage alone")


@dataclass(frozen=True)
class Outcome:
    """What came of a run that was killed and then run again."""

    stage: str  # that ran when it was killed
    outputs: dict[str, str]
    epochs: int  # that were finished, in both runs together
    status: int  # of the second run
    error: str


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """Return the outputs of a run that nobody disturbs, and how many seconds it took."""
    project = new_project(tmp_path_factory.mktemp("undisturbed"))
    project.make_small(EPOCHS)
    start = time.monotonic()
    project.run("dvc", "repro")
    return project.outputs(), time.monotonic() - start


def test_kills(
    undisturbed: tuple[dict[str, str], float],
    tmp_path_factory: pytest.TempPathFactory,
    figures: dict[str, str],
) -> None:
    outputs, seconds = undisturbed
    count, at_once = 25, 2
    draw = random.Random(0)
    moments = [0.9 * seconds * (i + draw.random()) / count for i in range(count)]
    folders = [tmp_path_factory.mktemp("killed") for _ in moments]
    targets = [TARGETS[i % len(TARGETS)] for i in range(count)]
    with ThreadPoolExecutor(at_once) as pool:
        outcomes = list(pool.map(_kill_and_run_again, folders, moments, targets))
    for target, outcome in zip(targets, outcomes, strict=True):
        print(f"killed {target} in {outcome.stage}: {outcome.epochs} epochs")
    failed = [one.error for one in outcomes if one.status != 0]
    same = sum(one.outputs == outputs for one in outcomes)
    once = sum(one.epochs <= EPOCHS * len(MODELS) for one in outcomes)
    figures["kills: completed by plain `dvc repro`"] = f"{count - len(failed)} of {count}"
    figures["kills: all outputs and dvc.lock the same"] = f"{same} of {count}"
    figures["kills: no finished epoch trained again"] = f"{once} of {count}"
    figures["kills: stages hit"] = ", ".join(sorted({one.stage for one in outcomes}))
    assert failed == []
    assert same == once == count


def _kill_and_run_again(folder: Path, seconds: float, target: str) -> Outcome:
    project = new_project(folder)
    project.make_small(EPOCHS)
    first = project.start("dvc", "repro")
    with suppress(subprocess.TimeoutExpired):
        first.wait(seconds)  # to the end if what slowed the undisturbed run is gone: kill earlier
        another = folder.with_name(f"{folder.name}-earlier")
        another.mkdir()
        return _kill_and_run_again(another, 0.8 * seconds, target)
    processes = [psutil.Process(first.pid), *psutil.Process(first.pid).children(recursive=True)]
    if target == "all at once":
        os.killpg(first.pid, signal.SIGKILL)
    else:
        with suppress(psutil.NoSuchProcess):
            (processes[0] if target == "dvc alone" else processes[-1]).kill()
    first.wait()
    second = project.try_run("dvc", "repro")  # at once: an orphan may still live
    printed = first.communicate()[0]
    stages = re.findall(r"Running stage '([\w-]+)'", printed)
    return Outcome(
        stage=stages[-1] if stages else "no stage",
        outputs=project.outputs(),
        epochs=len(re.findall(r"epoch \d+/\d+:", printed + second.stdout)),
        status=second.returncode,
        error=second.stdout + second.stderr,
    )


def test_interrupts(tmp_path: Path, figures: dict[str, str]) -> None:
    """Ctrl-C at a random moment of `make repro`, mostly while its trainings start or run."""
    project = new_project(tmp_path)
    project.make_small(epochs=1000)
    project.run("dvc", "repro", "prepare-data")
    count, draw = 200, random.Random(0)
    faults = [fault for _ in range(count) if (fault := _interrupt(project, draw.uniform(0.3, 9)))]
    print(*faults, sep="\n")
    right = f"{count - len(faults)} of {count}"
    figures["Ctrl-C: all ended within 5 seconds, nothing left"] = right
    assert faults == []


def _interrupt(project: Project, seconds: float) -> str:
    """Run the pipeline for ``seconds``, then press Ctrl-C; return what is wrong then, or nothing.

    A terminal's Ctrl-C reaches the process group in the foreground: the runner's own.
    """
    run = project.start(sys.executable, "-m", "stages")
    time.sleep(seconds)
    os.killpg(run.pid, signal.SIGINT)
    give_up_at = time.monotonic() + 5
    while (left := _session(run)) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    for process in left:
        process.kill()
    output, error = run.communicate()
    temporary = [str(path) for path in project.folder.rglob("*.tmp")]
    is_quiet = "Traceback" not in output + error and error.endswith("interrupted\n")
    if left or temporary or run.returncode != 130 or not is_quiet:
        return f"after {seconds} s: {run.returncode}, {left}, {temporary}, {output}, {error}"
    return ""


def _session(leader: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes that run in the session of ``leader``."""
    leader.poll()
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == leader.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
