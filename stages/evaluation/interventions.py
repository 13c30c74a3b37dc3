"""Networks whose normalization layers are told where to take their statistics from.

Batch, group and layer normalization are one operation: subtract the mean of a group of channels,
divide by the root of its variance. They differ in how many channels make a group, and in the images
whose statistics these are. The groups are trained in; the images can be chosen afterwards, layer by
layer, and what that does to the accuracy tells what the statistics do.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from stages.core.dataset import Pixels, Split, to_floats

MANY = 100  # images whose statistics batch normalization takes together, unless told otherwise
_EPS = 1e-5  # added to variances, as torch's layers do
NUM_IMAGES = 10_000  # that fixed statistics are measured on; Wu and Johnson need 1,000 to 10,000

Moments = tuple[torch.Tensor, torch.Tensor]  # means and (biased) variances


@dataclass(frozen=True)
class Source:
    """Where a layer takes its means, or its variances, from.

    From ``images`` images at a time, with fixed ones mixed in that count as much as those of
    ``prior`` images (Schneider et al. 2020, section 3).
    """

    images: int
    prior: float = 0

    def mix(self, fresh: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        """Return (images x fresh + prior x fixed) / (images + prior)."""
        share = self.images / (self.images + self.prior)
        return share * fresh + (1 - share) * fixed


FIXED, IMAGE, BATCH = Source(0, 1), Source(1), Source(MANY)


@dataclass(frozen=True)
class Treatment:
    """What a layer normalizes by, and the change of its input before."""

    mean: Source
    variance: Source
    change: str = ""  # of CHANGES


Intervention = tuple[Treatment, ...]  # of all layers, from the first on


class ExplicitNorm(nn.Module):
    """A batch, group or layer normalization written out, with the scale and shift of ``layer``.

    ``trained`` is the source of its statistics in training, ``own`` that in evaluation. Its fixed
    ones, ``mean`` and ``variance`` [groups], are the running averages of batch normalization;
    the others have none (0 and 1) before ``freeze``. That also sets ``reference``, the moments of
    each channel on clean training images, [channels, 1, 1].
    """

    mean: torch.Tensor
    variance: torch.Tensor
    reference: Moments

    def __init__(self, layer: nn.BatchNorm2d | nn.GroupNorm) -> None:
        """Begin with the source that ``layer`` has in evaluation."""
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        if isinstance(layer, nn.BatchNorm2d):
            self.trained, self.own, self.groups = BATCH, FIXED, layer.num_features
            self.fix(layer.running_mean, layer.running_var)
        else:
            self.trained, self.own, self.groups = IMAGE, IMAGE, layer.num_groups
            zeros = layer.weight.new_zeros(self.groups)
            self.fix(zeros, zeros + 1)
        self.treatment = Treatment(self.own, self.own)

    def fix(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Replace the fixed statistics."""
        self.register_buffer("mean", mean)
        self.register_buffer("variance", variance)

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        """Normalize, scale and shift ``activations`` [N, channels, H, W]."""
        if self.treatment.change:
            activations = CHANGES[self.treatment.change](activations, self.reference)
        sources = self.treatment.mean, self.treatment.variance
        if sources[0] == sources[1] == Source(sources[0].images) and self.groups == len(self.bias):
            parts = [  # by torch's own kernel, so that the digits are those of batch normalization
                F.batch_norm(part, None, None, self.weight, self.bias, True, eps=self.eps)
                for part in activations.split(sources[0].images)
            ]
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        fixed = self.mean[None], self.variance[None]
        fresh = {0: fixed}
        if sources != (FIXED, FIXED):
            moments = take_moments(activations)
            fresh |= {
                x.images: combine(moments, self.groups, x.images) for x in sources if x.images
            }
        mean, variance = (
            source.mix(fresh[source.images][i], fixed[i])
            .repeat_interleave(len(self.bias) // self.groups, dim=1)
            .unflatten(1, (-1, 1, 1))
            for i, source in enumerate(sources)
        )  # [N or 1, channels, 1, 1]
        scale = self.weight[:, None, None] * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias[:, None, None] - mean * scale, activations, scale)


def take_moments(activations: torch.Tensor) -> Moments:
    """Return the moments of each image and channel, [N, channels], of [N, channels, H, W]."""
    means = activations.mean((2, 3))
    return means, (activations - means[:, :, None, None]).square_().mean((2, 3))


def combine(moments: Moments, groups: int, images: int) -> Moments:
    """Return what each of N images is normalized by, [N, groups], ``images`` at a time.

    ``moments`` are those of each image and channel; the last images may be fewer.
    """
    means, variances = (moment.unflatten(1, (groups, -1)) for moment in moments)
    means, variances = _pool(means, variances, dim=2)
    if images == 1:
        return means, variances
    parts = [
        [moment.expand(len(part), -1) for moment in _pool(part, of_part, dim=0)]
        for part, of_part in zip(means.split(images), variances.split(images), strict=True)
    ]
    means, variances = map(torch.cat, zip(*parts, strict=True))
    return means, variances


def of_channels(moments: Moments) -> Moments:
    """Return the moments of each channel over all images, [channels, 1, 1]."""
    count, channels = moments[0].shape
    means, variances = combine(moments, channels, count)
    return means[0, :, None, None], variances[0, :, None, None]


def _pool(means: torch.Tensor, variances: torch.Tensor, dim: int) -> Moments:
    """Return the moments of sets from those of their parts, of equal size, which lie along ``dim``.

    By the law of total variance.
    """
    return means.mean(dim), variances.mean(dim) + means.var(dim, correction=0)


def _align_channels(activations: torch.Tensor, reference: Moments) -> torch.Tensor:
    """Give each channel the mean and the variance that it has on clean training images."""
    mean, variance = of_channels(take_moments(activations))
    ratio = ((reference[1] + _EPS) / (variance + _EPS)).sqrt()
    return torch.addcmul(reference[0] - mean * ratio, activations, ratio)


def _align_all(activations: torch.Tensor, reference: Moments) -> torch.Tensor:
    """Undo only one shift and one factor for all channels, in units of their own deviations."""
    deviation = (reference[1] + _EPS).sqrt()
    units = (activations - reference[0]) / deviation
    return (units - units.mean()) / units.std(correction=0) * deviation + reference[0]


def _remove_offsets(activations: torch.Tensor, reference: Moments) -> torch.Tensor:
    """Give each channel the mean that it has on clean training images, and leave its variance."""
    return activations - of_channels(take_moments(activations))[0] + reference[0]


# Each takes activations [N, channels, H, W] and a layer's ``reference``.
CHANGES: dict[str, Callable[[torch.Tensor, Moments], torch.Tensor]] = {
    "align channels": _align_channels,
    "align all": _align_all,
    "no offsets": _remove_offsets,
}


def write_out(network: nn.Module) -> nn.Module:
    """Return a copy whose normalizations are written out, with the sources of evaluation."""
    network = copy.deepcopy(network).eval()
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
            network.set_submodule(name, ExplicitNorm(layer))
    return network


def list_layers(network: nn.Module) -> list[ExplicitNorm]:
    """Return the normalizations that are written out, from the first on."""
    return [layer for layer in network.modules() if isinstance(layer, ExplicitNorm)]


def with_batch_statistics(network: nn.Module, images: int = MANY) -> nn.Module:
    """Return a copy whose batch normalization takes the statistics of ``images`` images at a time.

    The last images may be fewer. It needs no running statistics.
    """
    network = write_out(network)
    for layer in list_layers(network):
        if layer.trained == BATCH:
            layer.treatment = Treatment(Source(images), Source(images))
    return network


def freeze(network: nn.Module, split: Split, pixels: Pixels, device: torch.device) -> nn.Module:
    """Return a copy written out whose fixed statistics are those of ``split``, training images.

    They are averages over its first 10,000 images, as they are, of what each layer normalizes by in
    training. For batch normalization this is PreciseBN (Wu and Johnson 2021, section 3).
    """
    network = write_out(network)
    layers = list_layers(network)
    as_trained = tuple(Treatment(layer.trained, layer.trained) for layer in layers)
    measured = measure(network, as_trained, split.images[:NUM_IMAGES], pixels, device)
    for layer, moments in zip(layers, measured, strict=True):
        normalized_by = combine(moments, layer.groups, layer.trained.images)
        layer.fix(*(moment.mean(0) for moment in normalized_by))
        layer.reference = of_channels(moments)
        layer.treatment = Treatment(layer.own, layer.own)
    return network


@torch.inference_mode()
def measure(
    network: nn.Module,
    intervention: Intervention,
    images: torch.Tensor,
    pixels: Pixels,
    device: torch.device,
) -> list[Moments]:
    """Return the moments of each image and channel, [N, channels], before each layer.

    Args:
        network: written out.
        intervention: what its layers do meanwhile.
        images: uint8 [N, 1, 28, 28].
        pixels: what standardizes them.
        device: where the network is.
    """
    found: dict[nn.Module, list[Moments]] = {layer: [] for layer in list_layers(network)}
    for layer, treatment in zip(list_layers(network), intervention, strict=True):
        layer.treatment = treatment
    hooks = [
        layer.register_forward_pre_hook(lambda at, x: found[at].append(take_moments(x[0])))
        for layer in found
    ]
    for some in images.split(MANY):
        network(pixels.standardize(to_floats(some.to(device))))
    for hook in hooks:
        hook.remove()
    return [(torch.cat([m for m, _ in x]), torch.cat([v for _, v in x])) for x in found.values()]


def distance(moments: Moments, reference: Moments) -> tuple[float, float]:
    """Return how far means and deviations lie from those of ``reference``, in its deviations.

    Both are root mean squares over the channels. The root of the sum of their squares is the
    normalized Wasserstein distance of Schneider et al. 2020.
    """
    mean, deviation = moments[0], (moments[1] + _EPS).sqrt()
    unit = (reference[1] + _EPS).sqrt()
    of_means, of_deviations = (mean - reference[0]) / unit, (deviation - unit) / unit
    return float(of_means.square().mean().sqrt()), float(of_deviations.square().mean().sqrt())


@torch.inference_mode()
def predict(
    network: nn.Module,
    interventions: Sequence[Intervention],
    images: torch.Tensor,
    pixels: Pixels,
    device: torch.device,
) -> torch.Tensor:
    """Return the digits, uint8 [interventions, N], that ``network`` reads under each of them.

    Args:
        network: written out.
        interventions: what several have in common, up to some layer, is computed once. A change
            takes the statistics of the images that pass at once: 100, or nearly so many.
        images: uint8 [N, 1, 28, 28].
        pixels: what standardizes them.
        device: where the network is.
    """
    steps = _list_steps(network)
    by_size: dict[int, list[tuple[int, Intervention]]] = {}
    for number, intervention in enumerate(interventions):
        by_size.setdefault(_count_at_once(intervention), []).append((number, intervention))
    digits = torch.empty(len(interventions), len(images), dtype=torch.uint8)
    for size, those in by_size.items():
        for some, part in zip(images.split(size), digits.split(size, dim=1), strict=True):
            inputs = pixels.standardize(to_floats(some.to(device)))
            for number, logits in _run(steps, inputs, those).items():
                part[number] = logits.argmax(1)
    return digits


def _count_at_once(intervention: Intervention) -> int:
    """Return how many images pass at once: about 100, and a multiple of those that share theirs."""
    sources = {source for one in intervention for source in (one.mean, one.variance)}
    together = math.lcm(*(source.images for source in sources if source.images))
    return together * max(1, MANY // together)


_Step = tuple[nn.Module, ExplicitNorm | None]


def _list_steps(network: nn.Module) -> list[_Step]:
    """Return the modules that run one after the other, and the normalization in each."""
    if type(network) is nn.Sequential:
        return [step for child in network for step in _list_steps(child)]
    return [(network, next(iter(list_layers(network)), None))]


def _run(
    steps: Sequence[_Step], activations: torch.Tensor, wanted: list[tuple[int, Intervention]]
) -> dict[int, torch.Tensor]:
    """Return the logits by number; ``wanted`` are the numbers with the treatments to come."""
    for i, (step, layer) in enumerate(steps):
        if layer is None:
            activations = step(activations)
            continue
        by_first: dict[Treatment, list[tuple[int, Intervention]]] = {}
        for number, (first, *others) in wanted:
            by_first.setdefault(first, []).append((number, tuple(others)))
        logits: dict[int, torch.Tensor] = {}
        for layer.treatment, those in by_first.items():
            logits |= _run(steps[i + 1 :], step(activations), those)
        return logits
    return {number: activations for number, _ in wanted}
