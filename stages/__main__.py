"""`python -m stages`: the whole pipeline, with its trainings side by side where cores allow.

`dvc repro` runs one stage after another. Each training here is a `dvc repro` of its own single
stage, which DVC lets run together; the plain `dvc repro` at the end does the rest, and would
give the same bytes alone.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stages.core.errors import PipelineError
from stages.core.machine import count_workers
from stages.core.params import MODELS, load_params
from stages.core.process import run_as_command
from stages.model.saved_state import forget_finished_trainings

_DVC = [sys.executable, "-m", "dvc"]
# What DVC says after every stage: left out of the lines of trainings side by side.
_HINTS = ("To track the changes", "\tgit add", "To enable auto staging", "\tdvc config", "Use `dvc")


def main() -> None:
    """Bring everything up to date."""
    params = load_params()
    _have_stages_use_this_python()
    with _Children() as children:
        _check(children.run("repro", "prepare-data"), "prepare-data")
        stale = _stale_trainings()
        workers = count_workers(params.train, len(stale))
        if workers > 1:
            _train_side_by_side(children, stale, workers)
        _check(children.run("repro"), "dvc repro")
    forget_finished_trainings()  # where evaluate had nothing to do


def _have_stages_use_this_python() -> None:
    """Have DVC find this Python where dvc.yaml says `python`."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def _check(status: int, what: str) -> None:
    if status:
        raise PipelineError(f"{what} failed; see above")


def _stale_trainings() -> list[str]:
    """Return the models whose training is not up to date."""
    stages = {f"train-{model}": model for model in MODELS}
    command = [*_DVC, "--wait-for-lock", "status", "--json", *stages]
    status = subprocess.run(command, capture_output=True, text=True, check=False)
    _check(status.returncode, f"dvc status ({(status.stderr.splitlines() or [''])[-1]})")
    changed = json.loads(status.stdout)
    return [model for stage, model in stages.items() if stage in changed]


def _train_side_by_side(children: "_Children", models: list[str], workers: int) -> None:
    """Train ``models``, ``workers`` at once; the others go on when one fails."""
    print(f"training {', '.join(models)}, {workers} at once", flush=True)
    with ThreadPoolExecutor(workers) as pool:
        jobs = {
            # DVC gives up a lock that it cannot have within 3 seconds, unless told to wait.
            model: pool.submit(children.run, "repro", "--single-item", f"train-{model}", tag=model)
            for model in models
        }
        try:
            failed = [model for model, job in jobs.items() if job.result()]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.interrupt()
            raise
    _check(len(failed), f"training {' and '.join(failed)}")


class _Children:
    """The DVC processes that this one runs; they end with it."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()

    def __enter__(self) -> "_Children":
        return self

    def __exit__(self, *error: object) -> None:
        self.interrupt()

    def run(self, *arguments: str, tag: str = "") -> int:
        """Run `dvc ARGUMENTS` and return its exit status; ``tag`` comes before each line."""
        child = subprocess.Popen(
            [*_DVC, "--wait-for-lock", *arguments],
            process_group=0,  # a signal reaches its stage too
            stdout=subprocess.PIPE if tag else None,
            stderr=subprocess.STDOUT if tag else None,
            text=True,
            errors="replace",
        )
        self._running.add(child)
        for line in child.stdout or ():
            if line.strip() and not line.startswith(_HINTS):
                print(f"{tag} | {line.rstrip()}", flush=True)
        status = child.wait()
        self._running.discard(child)
        return status

    def interrupt(self) -> None:
        """Interrupt those that still run, with their stages, and await their ends."""
        for child in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGINT)
            child.wait()


if __name__ == "__main__":
    run_as_command("repro", main)
