"""The network under comparison: one architecture, with a choice of normalization."""

from collections import OrderedDict

from torch import nn

from stages.model.normalization import normalization_layer


def build_network(
    normalization: str,
    channels_per_group: int | None = None,
    normalization_batch: int = 0,
    placement: str = "after",
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build the network: images [N, 1, 28, 28] to logits [N, 10].

    Eight convolutions without bias and six normalizations: 8,880 trainable parameters
    whatever the normalization, 8,712 without one. Weights are drawn from torch's global
    generator; normalizations draw none, so that the same seed gives all of them the same weights.

    Args:
        normalization: what ``normalization_layer`` builds: "batch", "group", "layer" and others.
        channels_per_group: for "group", a divisor of 8, 12 and 16.
        normalization_batch: for "batch", how many images are normalized together; 0 is all.
        placement: of the normalization, "after" or "before" the ReLU.
        dropout: probability of a zeroed activation after the fourth and the fifth block.

    Raises:
        PipelineError: the normalization is unknown, or the groups do not divide the channels.
    """

    def block(inputs: int, outputs: int, padding: int = 0) -> nn.Sequential:
        layers = OrderedDict(
            conv=nn.Conv2d(inputs, outputs, 3, padding=padding, bias=False),
            relu=nn.ReLU(inplace=True),
            norm=normalization_layer(
                normalization, outputs, channels_per_group, normalization_batch
            ),
        )
        if placement == "before":
            layers.move_to_end("relu")
        return nn.Sequential(layers)

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


def convolution_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights of the eight convolutions."""
    return [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers training adjusts."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
