"""The course of the trainings: loss and accuracy by epoch."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stages.model.history import Epoch
from stages.reporting.figures.style import (
    COLOURS,
    LEAST,
    LOOKS,
    PAPER,
    figure_style,
    round_numbers,
    subplots,
)

Quantity = Literal["loss", "accuracy"]


def draw_course(histories: Mapping[str, list[Epoch]], quantity: Quantity) -> Figure:
    """Draw a quantity of the images scored after each epoch.

    A star marks the best epoch of each model, its own marker the last.
    """
    followed = next(iter(histories.values()))[0].followed_split
    title = f"{followed.capitalize()} {quantity} after each epoch"
    find_best, form = (np.argmin, "{:.4f}") if quantity == "loss" else (np.argmax, "{:.2%}")
    with figure_style():
        figure, axes = _start(title, quantity)
        for model, epochs in histories.items():
            numbers = [epoch.number for epoch in epochs]
            values = [getattr(epoch.followed, quantity) for epoch in epochs]
            best = int(find_best(values))
            label = (
                f"{model}: best {form.format(values[best])} (epoch {numbers[best]}), "
                f"last {form.format(values[-1])}"
            )
            axes.plot(numbers, values, label=label, **LOOKS[model], markevery=[-1])
            star = {"color": COLOURS[model], "markersize": 12, "markeredgecolor": PAPER}
            axes.plot(numbers[best], values[best], "*", **star)
        _finish(axes, quantity)
    return figure


def _start(title: str, quantity: Quantity) -> tuple[Figure, Axes]:
    """Start a figure of losses by their logarithm, or of accuracies by that of the error rate.

    So halving the errors is one distance everywhere.
    """
    figure, axes = subplots(6.4, 4.2)
    axes.set(title=title, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if quantity == "loss":
        axes.set(yscale="log", ylabel="cross-entropy (nats), logarithmic")
        return figure, axes
    axes.set(ylabel="accuracy (%), stretched towards 100 %")
    axes.set_yscale(
        "function",
        functions=(
            lambda accuracy: -np.log10(np.maximum(1 - np.asarray(accuracy), LEAST)),
            lambda height: 1 - 10.0 ** -np.asarray(height),
        ),
    )
    return figure, axes


def _finish(axes: Axes, quantity: Quantity) -> None:
    """Label round losses, or accuracies of round error rates."""
    low, high = axes.get_ylim()
    if quantity == "loss":
        ticks, form = round_numbers(low, high), "{:g}"
    else:
        ticks, form = [1 - error for error in round_numbers(1 - high, 1 - low)], "{:.4g}"
    scale = 1 if quantity == "loss" else 100
    axes.set_yticks(ticks, [form.format(scale * tick) for tick in ticks])
    axes.set_ylim(low, high)  # which ticks beyond would have moved
    axes.yaxis.minorticks_off()
    axes.legend(loc="upper right" if quantity == "loss" else "lower right")
