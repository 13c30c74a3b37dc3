"""Ways to evaluate batch normalization without its running statistics."""

import copy

import torch
from torch import nn

from stages.core.dataset import Pixels, Split, to_floats

NUM_IMAGES = 10_000  # that statistics are recomputed from; Wu and Johnson need 1,000 to 10,000
_BATCH = 100


def with_batch_statistics(network: nn.Module) -> nn.Module:
    """Return a copy that normalizes by the statistics of each batch it is given."""
    return _with_layers(network, track_running_stats=False)


@torch.inference_mode()
def with_recomputed_statistics(
    network: nn.Module, split: Split, pixels: Pixels, device: torch.device
) -> nn.Module:
    """Return a copy with the statistics of ``split``, the training images, for its final weights.

    PreciseBN (Wu and Johnson 2021, section 3): the mean over batches of 100 of their means and
    variances. It takes the first 10,000 images as they are, without augmentation, because these
    statistics are to fit clean images.
    """
    network = _with_layers(network.eval(), momentum=None).eval()  # None: a plain mean
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.train()
    for images in split.images[:NUM_IMAGES].split(_BATCH):
        network(pixels.standardize(to_floats(images.to(device))))
    return network.eval()


def _with_layers(network: nn.Module, **options: object) -> nn.Module:
    """Return a copy with fresh layers of batch normalization, of the same scale and shift.

    The layers are plain ones even if the network's own normalize parts of a batch separately.
    """
    twin = copy.deepcopy(network)
    for parent in list(twin.modules()):
        for name, layer in list(parent.named_children()):
            if getattr(layer, "running_mean", None) is not None:
                fresh = nn.BatchNorm2d(layer.num_features, eps=layer.eps, **options)
                fresh.weight, fresh.bias = layer.weight, layer.bias
                setattr(parent, name, fresh.to(layer.weight.device))
    return twin
