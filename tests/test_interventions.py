"""Networks whose normalizations take other statistics, each computed a second time."""

import copy
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from stages.core.dataset import Dataset, to_floats
from stages.evaluation.interventions import (
    BATCH,
    CHANGES,
    FIXED,
    IMAGE,
    ExplicitNorm,
    Source,
    Treatment,
    distance,
    freeze,
    list_layers,
    measure,
    of_channels,
    predict,
    take_moments,
    with_batch_statistics,
    write_out,
)
from tests.conftest import build

CPU = torch.device("cpu")
NETWORKS = {
    "bn": {"kind": "batch"},
    "ghost": {"kind": "batch", "batch": 4},
    "gn": {"kind": "group"},
    "ln": {"kind": "layer"},
    "instance": {"kind": "instance"},
    "mixed": {"kind": "batch", "layer_norm_first": 2},
    "deep": {"kind": "batch", "layer_norm_first": 7, "extra_blocks": 2, "skip": True},
    "before": {"kind": "group", "placement": "before"},
}


def _network(kind: str, dataset: Dataset, **options: object) -> nn.Sequential:
    """Return a network whose scales, shifts and running statistics are not those at the start."""
    torch.manual_seed(0)
    network = build(kind, **options)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
                layer.weight.uniform_(0.5, 2)
                layer.bias.normal_(std=0.1)
        network.train()(_inputs(dataset))
    return network.eval()


def _inputs(dataset: Dataset, count: int = 60) -> torch.Tensor:
    return dataset.pixels.standardize(to_floats(dataset.train.images[:count]))


@pytest.mark.parametrize("name", NETWORKS)
def test_written_out_a_network_computes_what_torch_does(name: str, small_dataset: Dataset) -> None:
    network = _network(**NETWORKS[name], dataset=small_dataset)
    inputs = _inputs(small_dataset)
    with torch.no_grad():
        torch.testing.assert_close(write_out(network)(inputs), network(inputs), atol=1e-5, rtol=0)
        exact = network.double()
        found = write_out(exact)(inputs.double())
        torch.testing.assert_close(found, exact(inputs.double()), atol=1e-11, rtol=0)


ACTIVATIONS = (
    np.random.default_rng(0).gamma(2.0, size=(7, 6, 3, 4)) * np.arange(1, 7)[:, None, None]
)
GROUPS = {"bn": 6, "gn": 3, "ln": 1}


def _layer(model: str) -> ExplicitNorm:
    """Return a layer of six channels whose scales, shifts and fixed statistics all differ."""
    torch.manual_seed(1)
    layer = nn.BatchNorm2d(6) if model == "bn" else nn.GroupNorm(GROUPS[model], 6)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2)
        layer.bias.normal_()
    written = ExplicitNorm(layer.double())
    written.fix(torch.rand(GROUPS[model]).double() * 5, 1 + torch.rand(GROUPS[model]).double() * 5)
    written.reference = of_channels(take_moments(torch.rand(9, 6, 5, 5).double() * 8))
    return written


def _by_numpy(layer: ExplicitNorm, x: np.ndarray) -> np.ndarray:
    """Normalize image by image and group by group, by what the layer is to take."""
    x, size = x.copy(), 6 // layer.groups
    mean, variance = (moment.numpy() for moment in (layer.mean, layer.variance))
    output = np.empty_like(x)
    for i, group in product(range(len(x)), range(layer.groups)):
        channels = slice(group * size, (group + 1) * size)
        taken = []
        for source, fixed, moment in (
            (layer.treatment.mean, mean, np.mean),
            (layer.treatment.variance, variance, np.var),
        ):
            value = fixed[group]
            if source.images:
                start = i // source.images * source.images
                fresh = moment(x[start : start + source.images, channels])
                weights = source.images, source.prior
                value = np.average([fresh, value], weights=weights)
            taken.append(value)
        output[i, channels] = (x[i, channels] - taken[0]) / np.sqrt(taken[1] + layer.eps)
    scale, shift = (p.detach().numpy()[:, None, None] for p in (layer.weight, layer.bias))
    return output * scale + shift


@pytest.mark.parametrize("model", GROUPS)
@pytest.mark.parametrize(
    ("mean", "variance"),
    [
        *product([FIXED, IMAGE, Source(3), BATCH], repeat=2),
        (Source(3, 5), Source(3, 5)),
        (Source(1, 16), FIXED),
        (FIXED, Source(7, 0.5)),
    ],
)
def test_one_layer_by_numpy(model: str, mean: Source, variance: Source) -> None:
    """Of seven images, three at a time leave a last one alone."""
    layer = _layer(model)
    layer.treatment = Treatment(mean, variance)
    with torch.no_grad():
        found = layer(torch.tensor(ACTIVATIONS)).numpy()
    np.testing.assert_allclose(found, _by_numpy(layer, ACTIVATIONS), atol=1e-10)


def _change_by_numpy(change: str, x: np.ndarray, layer: ExplicitNorm) -> np.ndarray:
    mean, variance = (moment.numpy() for moment in layer.reference)
    deviation = np.sqrt(variance + 1e-5)
    own = x.mean((0, 2, 3), keepdims=True)
    if change == "align channels":
        return (x - own) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5) * deviation + mean
    if change == "align all":
        units = (x - mean) / deviation
        return (units - units.mean()) / units.std() * deviation + mean
    return x - own + mean


@pytest.mark.parametrize("model", GROUPS)
@pytest.mark.parametrize("change", CHANGES)
def test_changes_of_the_input_by_numpy(model: str, change: str) -> None:
    layer = _layer(model)
    layer.treatment = Treatment(FIXED, IMAGE, change)
    with torch.no_grad():
        found = layer(torch.tensor(ACTIVATIONS)).numpy()
    changed = _change_by_numpy(change, ACTIVATIONS, layer)
    np.testing.assert_allclose(found, _by_numpy(layer, changed), atol=1e-10)


@pytest.mark.parametrize("name", ["bn", "gn", "mixed", "deep"])
def test_several_interventions_at_once_are_as_each_alone(name: str, small_dataset: Dataset) -> None:
    """They share what they have in common; of 250 images, 100 or 96 pass at once, then the rest."""
    network = _network(**NETWORKS[name], dataset=small_dataset)
    written = freeze(network, small_dataset.train, small_dataset.pixels, CPU)
    count, images = len(list_layers(written)), small_dataset.train.images[:250]
    as_is = [Treatment(layer.own, layer.own) for layer in list_layers(written)]
    fresh, fixed, few = (Treatment(x, x) for x in (BATCH, FIXED, Source(32, 4)))
    interventions = [
        tuple(as_is),
        (fixed,) * count,
        (few,) * count,
        (fresh, *as_is[1:]),
        (fixed, Treatment(FIXED, IMAGE), *as_is[2:]),
        (*as_is[:-1], Treatment(FIXED, FIXED, "align channels")),
        (few, *(fixed,) * (count - 1)),
    ]
    found = predict(written, interventions, images, small_dataset.pixels, CPU)
    assert len({tuple(digits.tolist()) for digits in found}) > 3
    for intervention, digits in zip(interventions, found, strict=True):
        alone = copy.deepcopy(written)
        for layer, treatment in zip(list_layers(alone), intervention, strict=True):
            layer.treatment = treatment
        with torch.no_grad():
            parts = images.split(96 if few in intervention else 100)
            logits = [alone(small_dataset.pixels.standardize(to_floats(x))) for x in parts]
        assert torch.equal(digits, torch.cat(logits).argmax(1))


def test_frozen_statistics_of_bn_are_those_of_torch(small_dataset: Dataset) -> None:
    network = _network("batch", small_dataset)
    frozen = freeze(network, small_dataset.train, small_dataset.pixels, CPU)
    update_bn(list(_inputs(small_dataset, 300).split(100)), network)
    for layer, own in zip(list_layers(frozen), list_layers(write_out(network)), strict=True):
        torch.testing.assert_close(layer.mean, own.mean)
        torch.testing.assert_close(layer.variance, own.variance, rtol=1e-3, atol=0)  # own: unbiased
        assert layer.treatment == Treatment(FIXED, FIXED)


@pytest.mark.parametrize("name", ["gn", "ln", "mixed"])
def test_frozen_statistics_of_groups_by_numpy(name: str, small_dataset: Dataset) -> None:
    """Averages over the images, and moments over all of them: see what enters the second layer."""
    network = _network(**NETWORKS[name], dataset=small_dataset)
    second = list_layers(freeze(network, small_dataset.train, small_dataset.pixels, CPU))[1]
    seen: list[torch.Tensor] = []
    network.block2.norm.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.no_grad():
        network(_inputs(small_dataset, 300))
    x = seen[0].numpy().astype(float)
    groups = x.reshape(300, second.groups, -1)
    np.testing.assert_allclose(second.mean, groups.mean(2).mean(0), rtol=1e-4)
    np.testing.assert_allclose(second.variance, groups.var(2).mean(0), rtol=1e-4)
    mean, variance = (moment.flatten() for moment in second.reference)
    np.testing.assert_allclose(mean, x.mean((0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(variance, x.var((0, 2, 3)), rtol=1e-4)


def test_statistics_of_the_batch_are_those_of_training(small_dataset: Dataset) -> None:
    """To the bit; the layers that are not batch normalization stay as they are."""
    inputs = _inputs(small_dataset, 40)
    for name in ("bn", "mixed"):
        network = _network(**NETWORKS[name], dataset=small_dataset)
        by_batch = with_batch_statistics(network)
        with torch.no_grad():
            torch.testing.assert_close(by_batch(inputs), network.train()(inputs))


def test_distance_by_numpy(small_dataset: Dataset) -> None:
    network = _network("layer", small_dataset)
    frozen = freeze(network, small_dataset.train, small_dataset.pixels, CPU)
    shifted = small_dataset.followed.images // 2
    as_is = tuple(layer.treatment for layer in list_layers(frozen))
    moments = measure(frozen, as_is, shifted, small_dataset.pixels, CPU)[0]
    first = nn.Sequential(network.block1.conv, network.block1.relu)
    with torch.no_grad():
        clean, other = (
            first(small_dataset.pixels.standardize(to_floats(x))).double().numpy()
            for x in (small_dataset.train.images, shifted)
        )
    unit = clean.std((0, 2, 3))
    wanted = [
        np.sqrt(np.mean(((stat(other, axis=(0, 2, 3)) - stat(clean, axis=(0, 2, 3))) / unit) ** 2))
        for stat in (np.mean, np.std)
    ]
    found = distance(of_channels(moments), list_layers(frozen)[0].reference)
    np.testing.assert_allclose(found, wanted, rtol=1e-3)
    same = list_layers(frozen)[0].reference
    assert distance(same, same) == (0, 0)
