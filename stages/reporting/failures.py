"""Models that did not learn: nothing is claimed about their normalization."""

import math

from stages.core.params import MODELS
from stages.reporting.claims import format_share
from stages.reporting.results import Results
from stages.reporting.seeds import Seeds

_LEAST_ACCURACY = 0.5
_LARGEST_DROP = 0.1  # from training to test, as fractions
_LOSS_OF_GUESSING = math.log(10)  # nats: every class has a probability of a tenth


def find_failures(results: Results, seeds: Seeds | None) -> dict[str, str]:
    """Return why models did not learn, by model, in this run or with one of ``seeds``."""
    failures = {}
    for model in MODELS:
        metrics, last = results.metrics[model], results.histories[model][-1]
        reached = max(metrics.train_accuracy, last.train.accuracy)
        reason = explain_failure(metrics.test_accuracy, reached, metrics.test_loss)
        if not reason and seeds is not None:
            reason = _explain_failed_seed(model, seeds)
        if reason:
            failures[model] = reason
    return failures


def _explain_failed_seed(model: str, seeds: Seeds) -> str:
    columns = seeds.seeds, seeds.test_accuracy[model], seeds.train_accuracy[model]
    for seed, test_accuracy, train_accuracy in zip(*columns, strict=True):
        if reason := explain_failure(test_accuracy, train_accuracy):
            return f"with seed {seed}, {reason}"
    return ""


def explain_failure(test_accuracy: float, train_accuracy: float, test_loss: float = 0.0) -> str:
    """Say why a model with these scores did not learn; "" if it did.

    It did not learn if its final weights get fewer than half of the test images right, if its
    test loss is above that of guessing, or if its test accuracy is more than 10 points below
    its ``train_accuracy``, the highest of its training. Accuracies are fractions.
    """
    right = f"its final weights get {format_share(test_accuracy)} of the test images right"
    if test_accuracy < _LEAST_ACCURACY:
        return right
    if test_loss > _LOSS_OF_GUESSING:
        return f"its test loss is {test_loss:.4g}, above that of guessing ({_LOSS_OF_GUESSING:.3f})"
    if train_accuracy - test_accuracy > _LARGEST_DROP:
        return f"{right}, but reached {format_share(train_accuracy)} in training"
    return ""
