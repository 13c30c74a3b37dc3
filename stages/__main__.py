"""`python -m stages`: the whole pipeline, with its trainings side by side where cores allow.

`dvc repro` runs one stage after another. Each training here is a `dvc repro` of its own single
stage, which DVC lets run together; the plain `dvc repro` at the end does the rest, and would
give the same bytes alone.
"""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil
from filelock import FileLock

from stages.core.errors import PipelineError
from stages.core.machine import count_workers
from stages.core.params import MODELS, load_params
from stages.core.process import (
    INTERRUPTED,
    dvc_command,
    end_with,
    leave_at_once,
    on_interrupt,
    run_as_command,
)
from stages.model.saved_state import forget_finished_trainings

_USERS = Path(".dvc/tmp/rwlock")
# What DVC says after every stage, and of a part as if it were all: left out but at the end.
_HINTS = (
    *("To track the changes", "\tgit add", "To enable auto staging", "\tdvc config", "Use `dvc"),
    "Data and pipelines are up to date.",
)
# How to end a child, and the seconds until the next way is tried.
_WAYS_TO_END = {signal.SIGINT: 2, signal.SIGTERM: 1, signal.SIGKILL: 1}


def main() -> None:
    """Bring everything up to date."""
    params = load_params()
    _require_git()
    _have_stages_use_this_python()
    if "MAKELEVEL" in os.environ:  # make sets it
        end_with(os.getppid())
    children = _Children()
    on_interrupt(lambda *_: children.end_and_leave())
    _forget_ended_users()
    _check(children.run("repro", "prepare-data", tag=""), "prepare-data")
    stale = _stale_trainings()
    workers = count_workers(params.train, len(stale))
    if workers > 1:
        _train_side_by_side(children, stale, workers)
    _check(children.run("repro"), "dvc repro")
    forget_finished_trainings()  # where evaluate had nothing to do


def _require_git() -> None:
    """Refuse an archive's folder: DVC needs git, and does not say what to do."""
    if not any((folder / ".git").exists() for folder in (Path.cwd(), *Path.cwd().parents)):
        raise PipelineError("this folder is in no git repository, which DVC needs; run `git init`")


def _have_stages_use_this_python() -> None:
    """Make `python` in dvc.yaml mean this Python."""
    others = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{others}"


def _forget_ended_users() -> None:
    """Remove DVC's list of who uses which files where it is cut off or of no living `dvc`.

    DVC leaves it empty if it is ended while writing it, and can never read it again. It also takes
    any process for a user that ended, if it has the same number: after a container's end, say.
    """
    with FileLock(_USERS.with_name("rwlock.lock")):  # DVC holds it while it reads and writes
        with suppress(OSError, ValueError, AttributeError, TypeError, KeyError):
            users = json.loads(_USERS.read_bytes())
            readers = [user for path in users.get("read", {}).values() for user in path]
            if any(map(_is_running, [*readers, *users.get("write", {}).values()])):
                return
        _USERS.unlink(missing_ok=True)


def _is_running(user: dict[str, Any]) -> bool:
    """Say whether a process of the number of ``user`` runs with the same arguments."""
    try:
        command = psutil.Process(user["pid"]).cmdline()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another person's
        return True
    return " ".join(command).endswith(user["cmd"].partition(" ")[2])


def _check(status: int, what: str) -> None:
    if status:
        raise PipelineError(f"{what} failed; see above")


def _stale_trainings() -> list[str]:
    """Return the models whose training is out of date."""
    stages = {f"train-{model}": model for model in MODELS}
    command = [*dvc_command(), "--wait-for-lock", "status", "--json", *stages]
    status = subprocess.run(command, capture_output=True, text=True, check=False)
    _check(status.returncode, f"dvc status ({(status.stderr.splitlines() or [''])[-1]})")
    changed = json.loads(status.stdout)
    return [model for stage, model in stages.items() if stage in changed]


def _train_side_by_side(children: "_Children", models: list[str], workers: int) -> None:
    """Train ``models``, ``workers`` at once; if one fails, the others continue."""
    print(f"training {', '.join(models)}, {workers} at once", flush=True)
    with ThreadPoolExecutor(workers) as pool:
        jobs = {
            # DVC gives up a lock that it cannot have within 3 seconds, unless told to wait.
            model: pool.submit(children.run, "repro", "--single-item", f"train-{model}", tag=model)
            for model in models
        }
        failed = [model for model, job in jobs.items() if job.result()]
    _check(len(failed), f"training {' and '.join(failed)}")


class _Children:
    """The DVC processes that this one runs."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._are_ending = False

    def run(self, *arguments: str, tag: str | None = None) -> int:
        """Run `dvc ARGUMENTS` and return its exit status.

        With a ``tag``, which may be empty, that comes before each line, and DVC's hints do not.
        """
        if self._are_ending:
            return INTERRUPTED
        child = subprocess.Popen(
            [*dvc_command(), "--wait-for-lock", *arguments],
            process_group=0,  # a signal reaches its stage too
            stdout=None if tag is None else subprocess.PIPE,
            stderr=None if tag is None else subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._running.add(child.pid)
        for line in child.stdout or ():
            if line.strip() and not line.startswith(_HINTS) and not self._are_ending:
                print(_tagged(line.rstrip(), tag), flush=True)
        status = child.wait()
        self._running.discard(child.pid)
        return status

    def end_and_leave(self) -> NoReturn:
        """End those that still run, with their stages, and this process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._are_ending = True
        left = set(self._running)
        for way, seconds in _WAYS_TO_END.items():
            for group in left:
                with suppress(ProcessLookupError):
                    os.killpg(group, way)
            next_way_at = time.monotonic() + seconds
            while left and time.monotonic() < next_way_at:
                time.sleep(0.02)
                left = {group for group in left if _is_alive(group)}
        leave_at_once(INTERRUPTED, "repro: interrupted")


def _tagged(line: str, tag: str | None) -> str:
    return f"{tag} | {line.removeprefix(f'{tag} ')}" if tag else line


def _is_alive(group: int) -> bool:
    """Say whether a process of ``group`` is left, whose first is a child of this process."""
    with suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)  # so an ended child does not count
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # macOS gives the second for ended ones
        return False
    return True


if __name__ == "__main__":
    run_as_command("repro", main)
