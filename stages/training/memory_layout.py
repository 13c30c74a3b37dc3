"""The memory layout of activations, which decides the speed, not the values."""

import torch
from torch import nn

_CACHE_LINE = 64 // 4  # float32 numbers


def lay_out(network: nn.Module, device: torch.device, threads: int) -> nn.Module:
    """Move ``network`` to ``device`` and have its activations laid out as its steps are fastest.

    Channels last, which oneDNN convolves without reordering, but for batch normalization by
    several threads: in its backward pass each thread adds up one number a channel, and where
    these are too few to fill a cache line the threads slow each other to below one alone.
    """
    network = network.to(device, memory_format=torch.channels_last)
    if device.type == "cpu" and threads > 1:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d) and layer.num_features < _CACHE_LINE:
                layer.register_forward_pre_hook(_put_channels_first)
    return network


def _put_channels_first(_: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
    return inputs[0].contiguous()
