"""A worked example of the three normalizations: which values share a mean and a variance.

All numbers come from the layers themselves: the layer's Jacobian shows which elements
share statistics, and its outputs show with which mean and variance.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from stages.core.errors import PipelineError
from stages.core.files import read_json

EXAMPLE_PATH = Path("data/worked_example.json")
CHANNELS_PER_GROUP = 2  # in the example: two groups of its four channels


@dataclass(frozen=True)
class SharedStatistics:
    """Elements that are normalized by one mean and one (population) variance."""

    elements: torch.Tensor  # bool, of the shape of the example [N, C, H, W]
    mean: float
    variance: float


def read_example(path: Path = EXAMPLE_PATH) -> torch.Tensor:
    """Read the example: float64 activations [4 images, 4 channels, 2 rows, 2 columns].

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    remedy = f"restore it with `git checkout {path}`"
    try:
        images = torch.tensor(read_json(path, remedy)["images"], dtype=torch.float64)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise PipelineError(f"{path} is not a worked example ({error!r}); {remedy}") from None
    if images.shape != (4, 4, 2, 2) or not images.isfinite().all():
        raise PipelineError(
            f"{path} holds images {list(images.shape)}, not 4x4x2x2 finite numbers; {remedy}"
        )
    return images


def find_shared_statistics(layer: nn.Module, images: torch.Tensor) -> list[SharedStatistics]:
    """Return the sets of elements of ``images`` [N, C, H, W] that ``layer`` normalizes together.

    ``layer`` is a fresh normalization layer in training mode. Two elements belong together if a
    change of one changes the output of the other. The sets are in the order of their first
    elements.
    """
    layer = layer.to(images.dtype)
    outputs = layer(images).detach().flatten()
    jacobian = torch.autograd.functional.jacobian(layer, images)
    size = images.numel()
    linked = jacobian.view(size, size) != 0
    shared = []
    unassigned = torch.ones(size, dtype=torch.bool)
    while unassigned.any():
        members = _reach(linked, int(unassigned.nonzero()[0]))
        unassigned &= ~members
        mean, variance = _invert(images.flatten()[members], outputs[members], layer.eps)
        shared.append(SharedStatistics(members.view_as(images), mean, variance))
    return shared


def _reach(linked: torch.Tensor, start: int) -> torch.Tensor:
    """Return which elements can be reached from ``start`` over links [size, size]."""
    reached = torch.zeros(len(linked), dtype=torch.bool)
    reached[start] = True
    while not torch.equal(wider := reached | linked[reached].any(dim=0), reached):
        reached = wider
    return reached


def _invert(inputs: torch.Tensor, outputs: torch.Tensor, eps: float) -> tuple[float, float]:
    """Return the mean and variance with which the layer made ``outputs`` of ``inputs``."""
    low, high = int(inputs.argmin()), int(inputs.argmax())
    deviation = (inputs[high] - inputs[low]) / (outputs[high] - outputs[low])
    return float(inputs[low] - outputs[low] * deviation), float(deviation**2 - eps)
