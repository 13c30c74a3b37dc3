"""What the page runs in the browser to read drawings: trained networks, and test images.

A network travels as the list of its layers, in the order in which they run, so that
templates/networks.js needs to know no architecture. All networks of a model share one list, and
each has numbers of its own.
"""

import base64
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torchvision.ops import masks_to_boxes

from stages.analysis.ensembles import Ensemble
from stages.analysis.inputs import Inputs
from stages.analysis.shifts import Shifts
from stages.core.dataset import Split
from stages.core.params import MODELS
from stages.evaluation.interventions import ExplicitNorm, freeze, list_layers
from stages.model.network import Skipped
from stages.reporting.words import Words

IMAGES_OF_EACH_CLASS = 5
NUM_AVERAGED = 2_000  # training images whose statistics a frozen layer takes
SLIDERS = ("contrast", "brightness", "noise")  # of the page


def describe_drawing(inputs: Inputs, shifts: Shifts, words: Words) -> dict[str, Any]:
    """Return what templates/draw.html.j2 and draw.js read, ready for JSON.

    The images are the first five of each class in the test set, whatever the models make of them.
    They are there to pick from, and to complete the batch whose statistics layers can take.
    """
    test, ensembles = inputs.test, inputs.ensembles
    indices = [
        index
        for label in range(10)
        for index in (test.labels == label).nonzero().flatten()[:IMAGES_OF_EACH_CLASS].tolist()
    ]
    networks = {model: describe_networks(one, inputs.train) for model, one in ensembles.items()}
    return {
        "networks": networks,
        "usual": {
            model: [layer["usual"] for layer in one["layers"] if layer["kind"] == "normalization"]
            for model, one in networks.items()
        },
        "typical": {model: one.typical for model, one in ensembles.items()},
        "averaged": min(NUM_AVERAGED, len(inputs.train)),
        "tested": len(test),
        "page": {
            "models": list(ensembles),
            "count": len(next(iter(ensembles.values())).networks),
            "images": _encode(test.images[indices]),
            "labels": test.labels[indices].tolist(),
            "indices": indices,
            "noun": words.noun,
            "classes": words.classes,
            "longerSide": measure_longer_side(test.images),
            "record": {slider: _read_record(slider, shifts) for slider in SLIDERS},
        },
    }


def _read_record(slider: str, shifts: Shifts) -> list[dict[str, float]]:
    """Return the percentages of the three models on record, by the value of the ``slider``.

    None where only unchanged images are on record.
    """
    points: dict[float, dict[str, float]] = {}
    for model in MODELS:
        for severity, case in shifts.by_severity(slider, model).items():
            share = round(100 * shifts.accuracy[case], 1)
            points.setdefault(severity, {"at": severity})[model] = share
    return [points[at] for at in sorted(points)] if len(points) > 1 else []


def measure_longer_side(images: torch.Tensor) -> int:
    """Return the median longer side, in pixels, of what is not black in ``images`` [N, 1, H, W].

    MNIST's digits were scaled to 20 pixels, Fashion-MNIST's items to 28.
    """
    boxes = masks_to_boxes(images.squeeze(1) > 0)  # left, top, right, bottom
    return int((boxes[:, 2:] - boxes[:, :2] + 1).amax(dim=1).median())


def describe_networks(ensemble: Ensemble, train: Split) -> dict[str, Any]:
    """Return the layers of an ensemble, the numbers of each network, and which one is typical.

    The first images of ``train`` give the statistics that its layers take when they are frozen.
    """
    typical, pixels = ensemble.networks[ensemble.typical], ensemble.pixels
    few = Split(train.name, train.images[:NUM_AVERAGED], train.labels[:NUM_AVERAGED])
    frozen = list_layers(freeze(typical, few, pixels, torch.device("cpu")))
    return {
        "layers": list(_list_layers(typical, iter(frozen))),
        "pixels": {"mean": pixels.mean, "std": pixels.std},
        "weights": [
            _encode(torch.cat([x.flatten() for x in _numbers(network).values()]))
            for network in ensemble.networks.values()
        ],
        "typical": list(ensemble.networks).index(ensemble.typical),
    }


def _list_layers(layer: nn.Module, frozen: Iterator[ExplicitNorm]) -> Iterator[dict[str, Any]]:
    """Yield the kind and the settings of each layer, and how many numbers it has of its own.

    Dropout and Flatten are left out: in evaluation they change no number.

    Raises:
        TypeError: networks.js knows no such layer.
    """
    match layer:
        case nn.Dropout() | nn.Flatten():
            return
        case nn.Sequential():
            is_skipped = isinstance(layer, Skipped)
            yield from [{"kind": "keep", "numbers": []}] * is_skipped
            for part in layer:
                yield from _list_layers(part, frozen)
            yield from [{"kind": "add_kept", "numbers": []}] * is_skipped
            return
        case nn.Conv2d(kernel_size=(kernel, _), padding=(padding, _)):
            settings = {"kind": "convolution", "kernel": kernel, "padding": padding}
            settings["outputs"] = layer.out_channels
        case nn.ReLU():
            settings = {"kind": "relu"}
        case nn.MaxPool2d():
            settings = {"kind": "max_pool", "kernel": layer.kernel_size}
        case nn.AvgPool2d():
            settings = {"kind": "average_pool", "kernel": layer.kernel_size}
        case nn.BatchNorm2d() | nn.GroupNorm():
            own, is_batch = next(frozen), isinstance(layer, nn.BatchNorm2d)
            settings = {"kind": "normalization", "groups": own.groups, "eps": layer.eps}
            settings["usual"] = "frozen" if is_batch else "image"
            if not is_batch:  # which has averages of its own
                averages = own.mean.tolist(), own.variance.tolist()
                settings["running_mean"], settings["running_var"] = averages
        case _:
            raise TypeError(f"templates/networks.js cannot run {layer}")
    yield settings | {"numbers": [[name, x.numel()] for name, x in _numbers(layer).items()]}


def _numbers(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights and running averages in the order of the layers."""
    return {name: x for name, x in module.state_dict().items() if x.is_floating_point()}


def _encode(tensor: torch.Tensor) -> str:
    """Return the numbers of ``tensor`` as bytes (float32 little-endian, or uint8) in base64."""
    array = tensor.contiguous().numpy()
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()
