"""What DVC adds: a full run's time outside its stages, and that of commands with nothing to do."""

import csv
import shlex
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.timing import time_call
from tests.conftest import Project, new_project

_REPEATS = 5
# Takes the place of `python` in the copy's dvc.yaml: notes when a stage ran, and its peak memory.
_WITNESS = """\
import resource, subprocess, sys, time
start = time.time()
status = subprocess.call([sys.executable, *sys.argv[1:]])
memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
with open({log!r}, "a") as log:
    log.write(f"{{sys.argv[2]}},{{start}},{{time.time()}},{{memory}}\\n")
sys.exit(status)
"""


@dataclass(frozen=True)
class Overhead:
    """Seconds, and the peak memory (GiB) of the largest train stage."""

    outside_stages: float  # of `make repro` from nothing
    nothing_to_do: float  # `dvc repro`
    status: float  # `dvc status`
    train_memory: float


def measure_overhead() -> Overhead:
    """Run the whole pipeline on all images, for one epoch, in a copy of the project."""
    with tempfile.TemporaryDirectory() as folder:
        project, log = new_project(Path(folder)), Path(folder, ".dvc/tmp/stages.csv")
        project.set_param("epochs", 1)
        witness = Path(folder, ".dvc/tmp/witness.py")
        witness.parent.mkdir(parents=True, exist_ok=True)
        witness.write_text(_WITNESS.format(log=str(log)))
        watched = shlex.join(["exec", sys.executable, str(witness)])
        stages = Path(folder, "dvc.yaml")
        stages.write_text(stages.read_text().replace("exec python ", f"{watched} "))
        seconds = time_call(lambda: project.run("python", "-m", "stages"))
        rows = list(csv.reader(log.read_text().splitlines()))
        spans = [(float(start), float(end)) for _, start, end, _ in rows]
        return Overhead(
            outside_stages=seconds - _covered(spans),
            nothing_to_do=_median(project, "repro"),
            status=_median(project, "status"),
            train_memory=max(float(row[3]) for row in rows if row[0] == "stages.train"),
        )


def _covered(intervals: list[tuple[float, float]]) -> float:
    """Return how many seconds lie within one or more of ``intervals``."""
    covered, until = 0.0, 0.0
    for start, end in sorted(intervals):
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered


def _median(project: Project, command: str) -> float:
    return statistics.median(
        time_call(lambda: project.run("dvc", command)) for _ in range(_REPEATS)
    )
