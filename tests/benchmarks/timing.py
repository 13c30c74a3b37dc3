"""One timed epoch, and what both ways of training are timed on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stages.core.params import Params, load_params, validate

ROOT = Path(__file__).parents[2]
BATCH_SIZE = 64
TRAIN_IMAGES, TEST_IMAGES = 60_000, 10_000


@dataclass(frozen=True)
class Timing:
    """Seconds of an epoch of 60,000 images and of the 10,000 test images after it."""

    train: float
    evaluate: float

    @property
    def total(self) -> float:
        return self.train + self.evaluate


def time_call(function: Callable[[], object]) -> float:
    """Return the seconds that a call of ``function`` takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def timed_params(threads: int) -> Params:
    """Return params.yaml's recipe with the original experiment's augmentation."""
    content = load_params(ROOT / "params.yaml").model_dump()
    content["train"]["threads"] = threads
    content["train"]["device"] = "cpu"
    content["train"]["batch_size"] = BATCH_SIZE
    content["train"]["augmentation"] = {
        **{"rotation": 7, "translation": 0, "scale": 0, "shear": 0},
        **{"brightness": 0.4, "contrast": 0.4, "fade": 0},
    }
    return validate(Params, content, "the benchmark's parameters")
