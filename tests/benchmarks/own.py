"""B: this project's training."""

import resource
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from stages.core.dataset import Dataset, Split
from stages.core.machine import set_up_machine
from stages.core.recipe import Recipe
from stages.model.saved_state import SavedState
from stages.preparation.sources import read_images
from stages.preparation.splitting import measure_pixels
from stages.training import loop
from stages.training.loop import Training
from tests.benchmarks.timing import (
    ROOT,
    TRAIN_IMAGES,
    Timing,
    time_call,
    timed_params,
)


@cache
def _dataset() -> Dataset:
    train, test = (read_images(ROOT / "data/raw", "mnist", name) for name in ("train", "test"))
    return Dataset(Split("train", *train), Split("test", *test), measure_pixels(train[0]))


def time_epoch(model: str, threads: int, num_images: int = TRAIN_IMAGES) -> tuple[Timing, float]:
    """Train ``model`` on ``num_images`` and score it; also return the peak memory in GiB."""
    run = prepare(model, threads, num_images)
    with Stopwatch(loop, "compute_logits") as evaluation:
        total = time_call(run.run_epoch)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Timing(total - evaluation.seconds, evaluation.seconds), memory


def time_saving(model: str) -> float:
    """Return the seconds that saving the state of a training takes after an epoch, median."""
    run = prepare(model, threads=1, num_images=1_000)
    run.run_epoch()
    with tempfile.TemporaryDirectory() as folder:
        state = SavedState(Path(folder, "state.safetensors"), "0" * 64)
        return median(time_call(lambda: state.save(run.epochs, run.state())) for _ in range(20))


def prepare(model: str, threads: int, num_images: int) -> Training:
    """Return a training of ``model`` on the first images."""
    params, whole = timed_params(threads), _dataset()
    train = Split("train", whole.train.images[:num_images], whole.train.labels[:num_images])
    dataset = replace(whole, train=train)
    return Training(Recipe.of(model, params), dataset, set_up_machine(params.train))


class Stopwatch:
    """Times the calls of a function of a module, or of a method of a class, while entered."""

    def __init__(self, owner: Any, name: str) -> None:  # noqa: ANN401
        self.seconds = 0.0
        self._owner, self._name = owner, name

    def __enter__(self) -> "Stopwatch":
        function = self._function = getattr(self._owner, self._name)

        def timed(*arguments: Any) -> Any:  # noqa: ANN401
            start = time.perf_counter()
            result = function(*arguments)
            self.seconds += time.perf_counter() - start
            return result

        setattr(self._owner, self._name, timed)
        return self

    def __exit__(self, *error: object) -> None:
        setattr(self._owner, self._name, self._function)
