"""What the models get wrong."""

from dataclasses import dataclass
from itertools import combinations

import torch

from stages.core.params import MODELS

SHOWN = 10  # a matrix of five rows and two columns


def predict(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return from logits [N, 10] the predicted digits' softmax probabilities, and the digits."""
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    return confidence, predicted


def find_errors(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the indices of the misclassified images, the most confident mistake first.

    Args:
        logits: [N, 10].
        labels: [N].

    The confidence is the softmax probability of the predicted digit; equal ones stand in the
    order of their indices.
    """
    confidence, predicted = predict(logits)
    wrong = (predicted != labels).nonzero().squeeze(1)
    return wrong[confidence[wrong].argsort(descending=True, stable=True)]


def find_overlaps(
    logits: dict[str, torch.Tensor], labels: torch.Tensor
) -> dict[tuple[str, ...], list[int]]:
    """Find the images that exactly each set of models gets wrong, all models first.

    Args:
        logits: by model, [N, 10].
        labels: [N].

    Returns:
        Indices, in the order of the confidence of the set's first model.
    """
    wrong = {model: dict.fromkeys(find_errors(x, labels).tolist()) for model, x in logits.items()}
    overlaps: dict[tuple[str, ...], list[int]] = {
        models: [] for size in (3, 2, 1) for models in combinations(MODELS, size)
    }
    for model, indices in wrong.items():
        for index in indices:
            models = tuple(other for other in MODELS if index in wrong[other])
            if models[0] == model:
                overlaps[models].append(index)
    return overlaps


def count_confusions(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Count, [10, 10], how often each true digit (row) was taken for each digit (column)."""
    pairs = labels.long() * 10 + logits.argmax(dim=1)
    return torch.bincount(pairs, minlength=100).view(10, 10)


@dataclass(frozen=True)
class Bin:
    """Predictions of similar confidence: their mean confidence, and how many are right."""

    confidence: float
    right: int
    total: int


def bin_by_confidence(logits: torch.Tensor, labels: torch.Tensor, count: int = 10) -> list[Bin]:
    """Sort predictions into ``count`` bins of equal width over 0 to 1; leave out empty ones."""
    confidence, predicted = predict(logits)
    numbers = (confidence * count).long().clamp(max=count - 1)
    is_right = predicted == labels
    return [
        Bin(
            float(confidence[numbers == number].mean()),
            int(is_right[numbers == number].sum()),
            int((numbers == number).sum()),
        )
        for number in numbers.unique().tolist()
    ]


def calibration_error(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the expected calibration error over 15 bins (Guo et al. 2017, eq. 3), a fraction."""
    bins = bin_by_confidence(logits, labels, count=15)
    return sum(abs(one.right - one.confidence * one.total) for one in bins) / len(labels)
