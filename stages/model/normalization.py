"""The normalizations under comparison, as layers."""

import torch
import torch.nn.functional as F
from torch import nn

from stages.core.errors import PipelineError

NORMALIZATIONS = ("batch", "group", "layer")  # of the three models
STUDY_NORMALIZATIONS = ("instance", "channels", "none")  # in studies only


def normalization_layer(
    normalization: str,
    channels: int,
    channels_per_group: int | None = None,
    normalization_batch: int = 0,
) -> nn.Module:
    """Build a layer that normalizes activations [N, channels, H, W], then scales and shifts.

    - "batch": mean and variance of each channel over the batch (Ioffe and Szegedy 2015), or over
      ``normalization_batch`` images of it at a time if that is not 0.
    - "group": of each image over groups of neighbouring channels (Wu and He 2018).
    - "layer": of each image over all its channels, which is group normalization with one
      group (Ba, Kiros and Hinton 2016; scale and shift are per channel, as in Wu and He, not per
      element).
    - "instance": of each image and channel (Ulyanov, Vedaldi and Lempitsky 2016), which is group
      normalization with one channel per group.
    - "channels": of each image and place over its channels (ConvNeXt, Liu et al. 2022).
    - "none": no normalization, no scale and no shift.

    Raises:
        PipelineError: the normalization is unknown, or the groups do not divide the channels.
    """
    if normalization == "batch":
        if normalization_batch:
            return GhostBatchNorm2d(channels, normalization_batch)
        return nn.BatchNorm2d(channels)
    if normalization == "layer":
        return nn.GroupNorm(1, channels)
    if normalization == "group":
        if not channels_per_group or channels % channels_per_group:
            divisors = [n for n in range(1, channels + 1) if channels % n == 0]
            raise PipelineError(
                f"channels_per_group is {channels_per_group}, which does not divide "
                f"{channels} channels; choose one of {divisors}"
            )
        return nn.GroupNorm(channels // channels_per_group, channels)
    if normalization == "instance":
        return nn.GroupNorm(channels, channels)
    if normalization == "channels":
        return ChannelNorm(channels)
    if normalization == "none":
        return nn.Identity()
    raise PipelineError(
        f"the normalization {normalization!r} is unknown; choose one of "
        f"{[*NORMALIZATIONS, *STUDY_NORMALIZATIONS]}"
    )


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization over a few images at a time (Hoffer et al. 2017, section 4).

    A step can thus take many images while the statistics are those of a few. Once per step, the
    running statistics take in the mean of the parts' statistics. In evaluation mode this is
    ordinary batch normalization.
    """

    def __init__(self, channels: int, images: int) -> None:
        """Normalize ``images`` images at a time; the last part of a batch may hold fewer."""
        super().__init__(channels)
        self.images = images

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        """Normalize, scale and shift ``activations`` [N, channels, H, W]."""
        if not self.training or len(activations) <= self.images:
            return super().forward(activations)
        parts = activations.split(self.images)
        mean, variance = torch.zeros(2, len(parts), self.num_features, device=activations.device)
        normalized = [  # a momentum of 1 leaves the part's own statistics in mean[i], variance[i]
            F.batch_norm(part, mean[i], variance[i], self.weight, self.bias, True, 1.0, self.eps)
            for i, part in enumerate(parts)
        ]
        self.running_mean.lerp_(mean.mean(0), self.momentum)
        self.running_var.lerp_(variance.mean(0), self.momentum)
        return torch.cat(normalized)


class ChannelNorm(nn.LayerNorm):
    """Layer normalization over the channels alone, at each place (ConvNeXt, Liu et al. 2022)."""

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        """Normalize, scale and shift ``activations`` [N, channels, H, W]."""
        channels_last = activations.permute(0, 2, 3, 1)  # [N, H, W, channels]
        return super().forward(channels_last).permute(0, 3, 1, 2)
