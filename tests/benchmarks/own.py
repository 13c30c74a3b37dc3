"""B: this project's training."""

import resource
import tempfile
import time
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from stages import training
from stages.dataset import Dataset, Split, measure_pixels
from stages.machine import set_up_machine
from stages.mnist import TEST_FILES, TRAIN_FILES, read_files
from stages.resume import SavedState
from stages.training import Training
from tests.benchmarks.timing import (
    ROOT,
    TEST_IMAGES,
    TRAIN_IMAGES,
    Timing,
    time_call,
    timed_params,
)


@cache
def _dataset(num_images: int, num_test_images: int) -> Dataset:
    images, labels = read_files(ROOT / "data/raw", TRAIN_FILES)
    test_images, test_labels = read_files(ROOT / "data/raw", TEST_FILES)
    return Dataset(
        Split("train", images[:num_images], labels[:num_images]),
        Split("test", test_images[:num_test_images], test_labels[:num_test_images]),
        measure_pixels(images),
    )


def time_epoch(model: str, threads: int) -> tuple[Timing, float]:
    """Train ``model`` for an epoch and score it; also return the peak memory in GiB."""
    run = prepare(model, threads, TRAIN_IMAGES)
    with Stopwatch(training, "compute_logits") as evaluation:
        total = time_call(run.run_epoch)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Timing(total - evaluation.seconds, evaluation.seconds), memory


def time_saving(model: str) -> float:
    """Return the seconds that saving the state of a training takes after an epoch, median."""
    run = prepare(model, threads=1, num_images=1_000)
    run.run_epoch()
    with tempfile.TemporaryDirectory() as folder:
        state = SavedState(Path(folder, "state.safetensors"), "0" * 64)
        return median(time_call(lambda: state.save(run)) for _ in range(20))


def prepare(
    model: str, threads: int, num_images: int, num_test_images: int = TEST_IMAGES
) -> Training:
    """Return a training of ``model`` on the first images of each split."""
    params = timed_params(threads)
    device = set_up_machine(params.train)
    return Training(model, params, _dataset(num_images, num_test_images), device)


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
