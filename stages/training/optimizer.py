"""The optimizer, its learning-rate schedule, and its state by name."""

from collections.abc import Mapping

import torch
from torch import nn

from stages.core.params import TrainParams
from stages.core.recipe import Recipe
from stages.training.soap import Soap


def build_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Build the optimizer that ``recipe`` names for ``network``, on the network's device."""
    train, own = recipe.train, recipe.own
    shared = {
        "lr": own.learning_rate,
        "momentum": train.momentum,
        "weight_decay": own.weight_decay,
    }
    if train.optimizer == "soap":
        return Soap(network.parameters(), **shared)
    return torch.optim.SGD(network.parameters(), **shared, nesterov=train.nesterov, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    optimizer.param_groups[0]["lr"] = rate


def state_of(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state of ``optimizer``, named after the weights of ``network``."""
    return {
        f"{name}.{kind}": tensor
        for name, weight in network.named_parameters()
        for kind, tensor in optimizer.state.get(weight, {}).items()
        if tensor is not None
    }


def restore(
    optimizer: torch.optim.Optimizer, network: nn.Module, state: Mapping[str, torch.Tensor]
) -> None:
    """Give ``optimizer`` a ``state`` that ``state_of`` returned, with its former memory layout.

    Raises:
        KeyError: the state belongs to another network.
    """
    weights = dict(network.named_parameters())
    for key, saved in state.items():
        name, _, kind = key.rpartition(".")
        weight = weights[name]
        tensor = saved.to(weight.device)
        if tensor.shape == weight.shape:
            tensor = torch.empty_like(weight).copy_(tensor)
        optimizer.state[weight][kind] = tensor


def one_cycle(peak: float, steps: int, params: TrainParams) -> list[float]:
    """Return the learning rate of each of ``steps`` steps, as torch's OneCycleLR gives it.

    One cycle (Smith and Topin 2018): up to a peak, then far down.
    """
    if steps == 1:
        return [peak]
    rise = params.warmup
    if rise * steps == 1:  # a rise of one step: OneCycleLR divides by the steps after the first
        rise *= 1 - 1e-12
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=peak)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=peak,
        total_steps=steps,
        pct_start=rise,
        anneal_strategy=params.annealing,
        div_factor=params.initial_divisor,
        final_div_factor=params.final_divisor,
        cycle_momentum=False,
    )
    rates = []
    for _ in range(steps):
        rates.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        if len(rates) < steps:
            schedule.step()
    return rates
