"""The normalizations under comparison, as layers."""

import sys
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from stages.core.errors import PipelineError

NORMALIZATIONS = ("batch", "group", "layer")  # of the three models
STUDY_NORMALIZATIONS = ("instance", "channels", "none")  # in studies only


@dataclass(frozen=True)
class Normalization:
    """How activations [N, channels, H, W] are normalized; each kind then scales and shifts them.

    - "batch": mean and variance of each channel over the batch (Ioffe and Szegedy 2015), or over
      ``batch`` images of it at a time if that is not 0; with ``by_first``, over its first ones.
    - "group": of each image over groups of ``channels_per_group`` neighbouring channels (Wu and He
      2018).
    - "layer": of each image over all its channels, which is group normalization with one
      group (Ba, Kiros and Hinton 2016; scale and shift are per channel, as in Wu and He, not per
      element).
    - "instance": of each image and channel (Ulyanov, Vedaldi and Lempitsky 2016), which is group
      normalization with one channel per group.
    - "channels": of each image and place over its channels (ConvNeXt, Liu et al. 2022).
    - "none": of nothing; there are only the scale and the shift of the others.
    """

    kind: str
    channels_per_group: int | None = None
    batch: int = 0
    by_first: bool = False

    def layer(self, channels: int) -> nn.Module:
        """Build the layer for this many channels.

        Raises:
            PipelineError: the kind is unknown, or the groups do not divide the channels.
        """
        match self.kind:
            case "batch" if self.batch:
                return GhostBatchNorm2d(channels, self.batch, self.by_first)
            case "batch":
                return nn.BatchNorm2d(channels)
            case "layer":
                return nn.GroupNorm(1, channels)
            case "group":
                return nn.GroupNorm(self._count_groups(channels), channels)
            case "instance":
                return nn.GroupNorm(channels, channels)
            case "channels":
                return ChannelNorm(channels)
            case "none":
                return ScaleAndShift(channels)
        raise PipelineError(
            f"the normalization {self.kind!r} is unknown; choose one of "
            f"{[*NORMALIZATIONS, *STUDY_NORMALIZATIONS]}"
        )

    def _count_groups(self, channels: int) -> int:
        size = self.channels_per_group
        if not size or channels % size:
            divisors = [n for n in range(1, channels + 1) if channels % n == 0]
            raise PipelineError(
                f"channels_per_group is {size}, which does not divide {channels} channels; choose "
                f"one of {divisors}"
            )
        return channels // size


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization over a few images at a time (Hoffer et al. 2017, section 4).

    A step can thus take many images while the statistics are those of a few. Once per step, the
    running statistics take in the mean of the parts' statistics. In evaluation mode this is
    ordinary batch normalization.
    """

    def __init__(self, channels: int, images: int, by_first: bool = False) -> None:
        """Normalize ``images`` images at a time; the last part of a batch may hold fewer.

        With ``by_first``, all of a batch is normalized by the statistics of its first ``images``.
        Batches are shuffled, so these are drawn at random: all others are normalized by as noisy
        statistics, to which they contribute nothing.
        """
        super().__init__(channels)
        self.images, self.by_first = images, by_first

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        """Normalize, scale and shift ``activations`` [N, channels, H, W]."""
        if not self.training or len(activations) <= self.images:
            return super().forward(activations)
        if self.by_first:
            return self._normalize_by(activations[: self.images], activations)
        parts = activations.split(self.images)
        mean, variance = torch.zeros(2, len(parts), self.num_features, device=activations.device)
        normalized = [  # a momentum of 1 leaves the part's own statistics in mean[i], variance[i]
            F.batch_norm(part, mean[i], variance[i], self.weight, self.bias, True, 1.0, self.eps)
            for i, part in enumerate(parts)
        ]
        self.running_mean.lerp_(mean.mean(0), self.momentum)
        self.running_var.lerp_(variance.mean(0), self.momentum)
        return torch.cat(normalized)

    def _normalize_by(self, part: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(part, (0, 2, 3), correction=0)  # [channels] each
        numbers = part.numel() / self.num_features
        self.running_mean.lerp_(mean.detach(), self.momentum)
        self.running_var.lerp_(variance.detach() * numbers / (numbers - 1), self.momentum)
        scale = self.weight / (variance + self.eps).sqrt()
        shift = self.bias - mean * scale
        return activations * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)


def normalize_whole_batches(network: nn.Module) -> None:
    """Have batch normalization that took a few images at a time take whole batches from now on."""
    for layer in network.modules():
        if isinstance(layer, GhostBatchNorm2d):
            layer.images = sys.maxsize


class ChannelNorm(nn.LayerNorm):
    """Layer normalization over the channels alone, at each place (ConvNeXt, Liu et al. 2022)."""

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        """Normalize, scale and shift ``activations`` [N, channels, H, W]."""
        channels_last = activations.permute(0, 2, 3, 1)  # [N, H, W, channels]
        return super().forward(channels_last).permute(0, 3, 1, 2)


class ScaleAndShift(nn.Module):
    """No normalization: the scale and the shift of each channel that the others learn too.

    Without them the network would have no bias at all, and fading an image could not change its
    answer: f(0.1 x) = 0.1 f(x).
    """

    def __init__(self, channels: int) -> None:
        """Begin with a scale of 1 and a shift of 0, as the normalizations do."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        """Scale and shift ``activations`` [N, channels, H, W]."""
        return activations * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)
