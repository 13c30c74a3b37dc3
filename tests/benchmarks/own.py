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
from stages.core.params import load_params
from stages.core.recipe import Recipe
from stages.model.saved_state import SavedState
from stages.preparation.sources import read_images
from stages.preparation.splitting import measure_pixels
from stages.records.declaration import read_studies
from stages.records.plan import plan
from stages.training import loop
from stages.training.loop import Training
from tests.benchmarks.timing import ROOT, TRAIN_IMAGES, Timing, time_call, timed_params


@cache
def _dataset() -> Dataset:
    train, test = (read_images(ROOT / "data/raw", "mnist", name) for name in ("train", "test"))
    return Dataset(Split("train", *train), Split("test", *test), measure_pixels(train[0]))


def time_epoch(model: str, threads: int, num_images: int = TRAIN_IMAGES) -> tuple[Timing, float]:
    """Train ``model`` on ``num_images`` and score it; also return the peak memory in GiB."""
    return _time(_prepare(Recipe.of(model, timed_params(threads)), num_images))


def time_minute_epoch(
    model: str, threads: int, num_images: int = TRAIN_IMAGES
) -> tuple[Timing, float]:
    """Do the same by the recipe of the study ``minute``, with its own augmentation."""
    [arm] = plan(read_studies()["minute"], load_params(ROOT / "params.yaml"))[model]
    train = arm.recipe.train.model_copy(update={"threads": threads})
    return _time(_prepare(replace(arm.recipe, train=train), num_images))


def _time(run: Training) -> tuple[Timing, float]:
    with Stopwatch(loop, "compute_logits") as evaluation:
        total = time_call(run.run_epoch)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Timing(total - evaluation.seconds, evaluation.seconds), memory


def time_saving(model: str) -> float:
    """Return the seconds that saving the state of a training takes after an epoch, median."""
    run = _prepare(Recipe.of(model, timed_params(threads=1)), num_images=1_000)
    run.run_epoch()
    with tempfile.TemporaryDirectory() as folder:
        state = SavedState(Path(folder, "state.safetensors"), "0" * 64)
        return median(time_call(lambda: state.save(run.epochs, run.state())) for _ in range(20))


def _prepare(recipe: Recipe, num_images: int) -> Training:
    """Return a training on the first images."""
    whole = _dataset()
    train = Split("train", whole.train.images[:num_images], whole.train.labels[:num_images])
    return Training(recipe, replace(whole, train=train), set_up_machine(recipe.train))


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
