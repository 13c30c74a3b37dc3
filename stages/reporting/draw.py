"""What the page runs in the browser to read drawings: the trained networks, and test images.

A network travels as the list of its layers, in the order in which they run, so that
templates/networks.js needs to know no architecture.
"""

import base64
from typing import Any

import torch
from torch import nn

from stages.core.dataset import Split
from stages.model.checkpoint import Checkpoint
from stages.reporting.words import Words

IMAGES_OF_EACH_CLASS = 5


def describe_drawing(
    checkpoints: dict[str, Checkpoint], test: Split, words: Words
) -> dict[str, Any]:
    """Return what templates/draw.js reads, ready for JSON.

    The images are the first five of each class in ``test``, whatever the models make of them. They
    are there to pick from, and to complete the batch that batch normalization needs.
    """
    indices = [
        index
        for label in range(10)
        for index in (test.labels == label).nonzero().flatten()[:IMAGES_OF_EACH_CLASS].tolist()
    ]
    return {
        "networks": {model: describe_network(one) for model, one in checkpoints.items()},
        "images": _encode(test.images[indices]),
        "labels": test.labels[indices].tolist(),
        "indices": indices,
        "noun": words.noun,
        "classes": words.classes,
        "longerSide": measure_longer_side(test.images),
    }


def measure_longer_side(images: torch.Tensor) -> int:
    """Return the median longer side, in pixels, of what is not black in ``images`` [N, 1, H, W].

    MNIST's digits were scaled to 20 pixels, Fashion-MNIST's items to 28.
    """
    inked = images.squeeze(1) > 0
    sides = [_extent(inked.any(dim=axis)) for axis in (1, 2)]
    return int(torch.maximum(*sides).median())


def _extent(inked: torch.Tensor) -> torch.Tensor:
    """Count the places from the first to the last True in each row of ``inked`` [N, L]."""
    begun = inked.int().cummax(dim=1).values
    not_ended = inked.flip(1).int().cummax(dim=1).values.flip(1)
    return (begun & not_ended).sum(dim=1)


def describe_network(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the layers of a network with their numbers, and the statistics of its pixels.

    Dropout and Flatten are left out: in evaluation they change no number.
    """
    layers = [
        {"name": name, **description}
        for name, layer in checkpoint.network.named_modules()
        if (description := _describe_layer(layer))
    ]
    pixels = {"mean": checkpoint.pixels.mean, "std": checkpoint.pixels.std}
    return {"layers": layers, "pixels": pixels}


def _describe_layer(layer: nn.Module) -> dict[str, Any] | None:
    """Return the kind, the settings and the numbers of ``layer``; None if it changes no number.

    Raises:
        TypeError: networks.js knows no such layer.
    """
    match layer:
        case nn.Sequential() | nn.Dropout() | nn.Flatten():
            return None
        case nn.Conv2d():
            settings = {
                "outputs": layer.out_channels,
                "kernel": layer.kernel_size[0],
                "padding": layer.padding[0],
            }
            return _describe("convolution", settings, weights=layer.weight)
        case nn.ReLU():
            return _describe("relu", {})
        case nn.MaxPool2d():
            return _describe("max_pool", {"kernel": layer.kernel_size})
        case nn.AvgPool2d():
            return _describe("average_pool", {"kernel": layer.kernel_size})
        case nn.GroupNorm():
            settings = {"groups": layer.num_groups, "eps": layer.eps}
            return _describe("normalization", settings, scale=layer.weight, shift=layer.bias)
        case nn.BatchNorm2d():
            return _describe(
                "normalization",
                {"groups": None, "eps": layer.eps},
                scale=layer.weight,
                shift=layer.bias,
                runningMean=layer.running_mean,
                runningVariance=layer.running_var,
            )
    raise TypeError(f"templates/networks.js cannot run {layer}")


def _describe(kind: str, settings: dict[str, Any], **numbers: torch.Tensor) -> dict[str, Any]:
    encoded = {name: _encode(tensor.detach()) for name, tensor in numbers.items()}
    return {"kind": kind, **settings, "numbers": encoded}


def _encode(tensor: torch.Tensor) -> str:
    """Return the numbers of ``tensor`` as bytes (float32 little-endian, or uint8) in base64."""
    array = tensor.contiguous().numpy()
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()
