"""What moves the weights of a training: which optimizer, its rate, and its state by name."""

from collections.abc import Mapping

import torch
from torch import nn

from stages.params import ModelParams, TrainParams
from stages.soap import Soap


def build_optimizer(
    network: nn.Module, params: TrainParams, own: ModelParams
) -> torch.optim.Optimizer:
    """Build the optimizer that ``params`` names for ``network``, on the network's device."""
    device = next(network.parameters()).device
    is_recorded = device.type == "cuda"  # a recorded step reads a tensor's present value
    rate = torch.tensor(own.learning_rate, device=device) if is_recorded else own.learning_rate
    shared = {"lr": rate, "momentum": params.momentum, "weight_decay": own.weight_decay}
    if params.optimizer == "soap":
        return Soap(network.parameters(), **shared)
    return torch.optim.SGD(network.parameters(), **shared, nesterov=params.nesterov, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Have the next step take the learning rate ``rate``."""
    group = optimizer.param_groups[0]
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def state_of(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state of ``optimizer``, named after the weights of ``network``."""
    return {
        f"{name}.{kind}": tensor
        for name, weight in network.named_parameters()
        for kind, tensor in optimizer.state[weight].items()
        if tensor is not None
    }


def restore(
    optimizer: torch.optim.Optimizer, network: nn.Module, state: Mapping[str, torch.Tensor]
) -> None:
    """Give ``optimizer`` a ``state`` of ``state_of``, laid out in memory as it was.

    Raises:
        KeyError: the state is another network's.
    """
    weights = dict(network.named_parameters())
    for key, saved in state.items():
        name, _, kind = key.rpartition(".")
        weight = weights[name]
        tensor = saved.to(weight.device)
        if tensor.shape == weight.shape:
            tensor = torch.empty_like(weight).copy_(tensor)
        optimizer.state[weight][kind] = tensor
