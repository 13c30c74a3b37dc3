"""The network under comparison: one architecture, with a choice of normalization."""

from collections import OrderedDict
from dataclasses import replace

import torch
from torch import nn

from stages.core.params import NetworkParams
from stages.core.recipe import Recipe
from stages.model.normalization import Normalization


def network_for(recipe: Recipe) -> nn.Sequential:
    """Build the network of ``recipe`` with fresh weights."""
    own = recipe.own
    normalization = Normalization(
        recipe.normalization,
        getattr(own, "channels_per_group", None),
        getattr(own, "normalization_batch", 0),
        getattr(own, "part_statistics", "own") == "first",
    )
    return build_network(normalization, recipe.network, getattr(own, "layer_norm_first", 0))


def learns_nothing(recipe: Recipe) -> bool:
    """Say whether the last layer before the average pool gives each channel the same mean always.

    Instance normalization does, right before the pool: the mean is then the learned shift.
    """
    is_instance = getattr(recipe.own, "channels_per_group", None) == 1
    return is_instance and recipe.network.placement == "after" and not recipe.network.skip


def build_network(
    normalization: Normalization, params: NetworkParams, layer_norm_first: int = 0
) -> nn.Sequential:
    """Build the network: images [N, 1, 28, 28] to logits [N, 10].

    Eight convolutions without bias and six normalizations: 8,880 trainable parameters, whatever
    the normalization. Each extra block adds one of both: 2,336 parameters. Weights are drawn from
    torch's global generator; normalizations draw none, so that the same seed gives all of them the
    same weights.

    Args:
        normalization: which one, and its settings.
        params: what the network is apart from that.
        layer_norm_first: from the first on, so many places have layer normalization instead
            (Pan et al. 2018 mix instance and batch normalization in this way).

    Raises:
        PipelineError: the normalization is unknown, or the groups do not divide the channels.
    """

    def block(number: int, inputs: int, outputs: int, padding: int = 0) -> nn.Sequential:
        is_layer = number <= layer_norm_first
        here = replace(normalization, kind="layer") if is_layer else normalization
        layers = OrderedDict(
            conv=nn.Conv2d(inputs, outputs, 3, padding=padding, bias=False),
            relu=nn.ReLU(inplace=True),
            norm=here.layer(outputs),
        )
        if params.placement == "before":
            layers.move_to_end("relu")
        is_skipped = params.skip and number > 6
        return Skipped(layers) if is_skipped else nn.Sequential(layers)

    network = nn.Sequential(
        OrderedDict(  #                                                  output
            block1=block(1, 1, 8),  #                                     8 x 26 x 26
            block2=block(2, 8, 16),  #                                   16 x 24 x 24
            squeeze=nn.Conv2d(16, 8, 1, bias=False),  #                   8 x 24 x 24
            max_pool=nn.MaxPool2d(2),  #                                  8 x 12 x 12
            block3=block(3, 8, 12),  #                                   12 x 10 x 10
            block4=block(4, 12, 16),  #                                  16 x  8 x  8
            dropout4=nn.Dropout(params.dropout),
            block5=block(5, 16, 16),  #                                  16 x  6 x  6
            dropout5=nn.Dropout(params.dropout),
            block6=block(6, 16, 16, padding=1),  #                       16 x  6 x  6
            **{
                f"block{number}": block(number, 16, 16, padding=1)  #    16 x  6 x  6
                for number in range(7, 7 + params.extra_blocks)
            },
            average_pool=nn.AvgPool2d(6),  #                             16 x  1 x  1
            classify=nn.Conv2d(16, 10, 1, bias=False),  #                10 x  1 x  1
            logits=nn.Flatten(),  #                                      10
        )
    )
    if params.initialization == "he":
        for weight in convolution_weights(network):
            nn.init.kaiming_normal_(weight, nonlinearity="relu")  # He et al. 2015, eq. 10
    return network


class Skipped(nn.Sequential):
    """A block with a skip connection around it (He et al. 2016): it adds to what it is given."""

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        """Return ``activations`` plus what the block makes of them, both [N, 16, 6, 6]."""
        return activations + super().forward(activations)


def convolution_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights of all convolutions."""
    return [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers training adjusts."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
