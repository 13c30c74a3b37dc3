"""The images that the models get wrong."""

from dataclasses import dataclass

import torch

SHOWN = 10  # a matrix of five rows and two columns


@dataclass(frozen=True)
class Mistake:
    """A test image that a model gets wrong."""

    index: int
    true: int
    predicted: int
    confidence: float  # the softmax probability of the predicted class


def find_mistakes(logits: torch.Tensor, labels: torch.Tensor) -> list[Mistake]:
    """Return what the ``logits`` [N, 10] get wrong of N images of the classes ``labels`` [N].

    The most confident first, ties in the order of their indices.
    """
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    wrong = (predicted != labels).nonzero().squeeze(1)
    order = confidence[wrong].argsort(descending=True, stable=True)
    return [
        Mistake(index, int(labels[index]), int(predicted[index]), float(confidence[index]))
        for index in wrong[order].tolist()
    ]
