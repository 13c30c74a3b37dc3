"""The classes that the models predict, and where they are wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch

from stages.core.params import MODELS

SHOWN = 10  # a matrix of five rows and two columns


@dataclass(frozen=True)
class Guesses:
    """What one model predicts for N images; each tensor is [N]."""

    true: torch.Tensor
    predicted: torch.Tensor
    confidence: torch.Tensor  # the softmax probability of the predicted class
    is_right: torch.Tensor


@dataclass(frozen=True)
class Mistake:
    """A test image that a model gets wrong."""

    index: int
    true: int
    predicted: int
    confidence: float  # the softmax probability of the predicted class


def read_off(logits: torch.Tensor, labels: torch.Tensor) -> Guesses:
    """Return what the ``logits`` [N, 10] predict for N images of the classes ``labels`` [N]."""
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    return Guesses(labels.long(), predicted, confidence, predicted == labels)


def find_mistakes(guesses: Guesses) -> list[Mistake]:
    """Return the mistakes, the most confident first, ties in the order of their indices."""
    wrong = (~guesses.is_right).nonzero().squeeze(1)
    order = guesses.confidence[wrong].argsort(descending=True, stable=True)
    return [
        Mistake(
            index,
            int(guesses.true[index]),
            int(guesses.predicted[index]),
            float(guesses.confidence[index]),
        )
        for index in wrong[order].tolist()
    ]


def find_overlaps(mistakes: Mapping[str, list[Mistake]]) -> dict[tuple[str, ...], list[Mistake]]:
    """Return, for each set of models, the images that exactly these get wrong; all models first.

    They are given as mistakes of the set's first model, in the order of ``mistakes`` (by model).
    """
    wrong = {model: {one.index for one in of_model} for model, of_model in mistakes.items()}
    overlaps: dict[tuple[str, ...], list[Mistake]] = {
        models: [] for size in (3, 2, 1) for models in combinations(MODELS, size)
    }
    for model, of_model in mistakes.items():
        for one in of_model:
            models = tuple(other for other in MODELS if one.index in wrong[other])
            if models[0] == model:
                overlaps[models].append(one)
    return overlaps


def calibration_error(guesses: Guesses, count: int = 15) -> float:
    """Return the expected calibration error over ``count`` bins of equal width, a fraction.

    In each bin, how far the mean confidence is from the share that is right (Guo et al. 2017,
    eq. 3).
    """
    bins = (guesses.confidence * count).long().clamp(max=count - 1)
    surplus = torch.zeros(count, dtype=torch.float64)
    surplus.index_add_(0, bins, guesses.confidence - guesses.is_right.double())
    return float(surplus.abs().sum()) / len(guesses.is_right)
