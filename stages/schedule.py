"""The one-cycle learning rate (Smith and Topin 2018): up to a peak, then far down."""

import torch

from stages.params import TrainParams


def one_cycle(peak: float, steps: int, params: TrainParams) -> list[float]:
    """Return the learning rate of each of ``steps`` steps, as torch's OneCycleLR gives it."""
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
