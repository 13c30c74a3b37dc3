"""The network under comparison: one architecture, with a choice of normalization."""

from collections import OrderedDict

from torch import nn

from stages.core.errors import PipelineError

NORMALIZATIONS = ("batch", "group", "layer")


def build_network(
    normalization: str, channels_per_group: int | None = None, dropout: float = 0.0
) -> nn.Sequential:
    """Build the network: images [N, 1, 28, 28] to logits [N, 10].

    Eight convolutions without bias and six normalizations: 8,880 trainable parameters
    whatever the normalization. Weights are drawn from torch's global generator; the three
    normalizations draw none, so that the same seed gives all of them the same weights.

    Args:
        normalization: "batch", "group" or "layer".
        channels_per_group: for "group", a divisor of 8, 12 and 16.
        dropout: probability of a zeroed activation after the fourth and the fifth block.

    Raises:
        PipelineError: the normalization is unknown, or the groups do not divide the channels.
    """

    def block(inputs: int, outputs: int, padding: int = 0) -> nn.Sequential:
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(inputs, outputs, 3, padding=padding, bias=False),
                relu=nn.ReLU(inplace=True),
                norm=normalization_layer(normalization, outputs, channels_per_group),
            )
        )

    return nn.Sequential(
        OrderedDict(  #                                               output
            block1=block(1, 8),  #                                     8 x 26 x 26
            block2=block(8, 16),  #                                   16 x 24 x 24
            squeeze=nn.Conv2d(16, 8, 1, bias=False),  #                8 x 24 x 24
            max_pool=nn.MaxPool2d(2),  #                               8 x 12 x 12
            block3=block(8, 12),  #                                   12 x 10 x 10
            block4=block(12, 16),  #                                  16 x  8 x  8
            dropout4=nn.Dropout(dropout),
            block5=block(16, 16),  #                                  16 x  6 x  6
            dropout5=nn.Dropout(dropout),
            block6=block(16, 16, padding=1),  #                       16 x  6 x  6
            average_pool=nn.AvgPool2d(6),  #                          16 x  1 x  1
            classify=nn.Conv2d(16, 10, 1, bias=False),  #             10 x  1 x  1
            logits=nn.Flatten(),  #                                   10
        )
    )


def normalization_layer(
    normalization: str, channels: int, channels_per_group: int | None = None
) -> nn.Module:
    """Build a layer that normalizes activations [N, channels, H, W], then scales and shifts.

    - "batch": mean and variance of each channel over the batch (Ioffe and Szegedy 2015).
    - "group": of each image over groups of neighbouring channels (Wu and He 2018).
    - "layer": of each image over all its channels, which is group normalization with one
      group (Ba, Kiros and Hinton 2016; scale and shift are per channel, as in Wu and He, not per
      element).

    Raises:
        PipelineError: the normalization is unknown, or the groups do not divide the channels.
    """
    if normalization == "batch":
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
    raise PipelineError(
        f"the normalization {normalization!r} is unknown; choose one of {list(NORMALIZATIONS)}"
    )


def convolution_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights of the eight convolutions."""
    return [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers training adjusts."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
