"""The memory layout of activations, which decides the speed, not the values."""

import torch
from torch import nn

_CACHE_LINE = 64 // 4  # float32 numbers


def lay_out(network: nn.Module, device: torch.device, threads: int) -> nn.Module:
    """Move ``network`` to ``device`` and choose the memory layout with the fastest steps.

    That is channels last, which oneDNN convolves without reordering. Batch normalization by
    several threads is the exception: in its backward pass each thread adds up one number per
    channel, and if these do not fill a cache line, the threads together are slower than one.
    """
    network = network.to(device, memory_format=torch.channels_last)
    if device.type == "cpu" and threads > 1:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d) and layer.num_features < _CACHE_LINE:
                layer.register_forward_pre_hook(_put_channels_first)
    return network


def _put_channels_first(_: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
    return inputs[0].contiguous()
