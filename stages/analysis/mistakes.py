"""The classes that the models predict, and where they are wrong."""

from dataclasses import dataclass

import torch

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
