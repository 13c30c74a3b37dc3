"""Models that did not learn in the main job: nothing is claimed about their normalization."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from stages.analysis.inputs import Inputs
from stages.core.params import MODELS

_LEAST_ACCURACY = 0.5
_LARGEST_DROP = 0.1  # from training to test, as fractions
LOSS_OF_GUESSING = math.log(10)  # nats: every class has a probability of a tenth


@dataclass(frozen=True)
class Failure:
    """Why a model did not learn: its final accuracy, its loss, or the drop of its accuracy."""

    by: Literal["accuracy", "loss", "drop"]
    test_accuracy: float
    best_accuracy: float  # in training
    test_loss: float


def find_failures(inputs: Inputs) -> dict[str, Failure]:
    """Return why models did not learn, by model."""
    found = {}
    for model in MODELS:
        metrics, last = inputs.metrics[model], inputs.histories[model][-1]
        best = max(metrics.train_accuracy, last.train.accuracy)
        if failure := judge_training(metrics.test_accuracy, best, metrics.test_loss):
            found[model] = failure
    return found


def judge_training(test_accuracy: float, best_accuracy: float, test_loss: float) -> Failure | None:
    """Say why a model with these scores did not learn; None if it did.

    It did not learn if its final weights get fewer than half of the test images right, if its
    test loss is above that of guessing, or if its test accuracy is more than 10 points below
    the ``best_accuracy`` of its training. Accuracies are fractions.
    """
    found = Failure("accuracy", test_accuracy, best_accuracy, test_loss)
    if test_accuracy < _LEAST_ACCURACY:
        return found
    if test_loss > LOSS_OF_GUESSING:
        return replace(found, by="loss")
    return replace(found, by="drop") if best_accuracy - test_accuracy > _LARGEST_DROP else None
