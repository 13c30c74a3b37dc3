"""Training curves: loss, accuracy and learning rate by epoch."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from stages.model.history import Epoch
from stages.model.scoring import Score
from stages.reporting.figures.style import (
    COLOURS,
    LEAST,
    MARKERS,
    PAPER,
    figure_style,
    round_numbers,
    subplots,
)

_SPARSE = {"bn": (0, 3), "gn": (1, 3), "ln": (2, 3)}  # markers of curves that may coincide
Histories = Mapping[str, list[Epoch]]


def draw_followed_loss(histories: Histories) -> Figure:
    """Graph 1: the loss on the test (or validation) images after each epoch."""
    split = _followed_split(histories)
    return _draw_loss(histories, "followed", f"{split} loss after each epoch")


def draw_followed_accuracy(histories: Histories) -> Figure:
    """Graph 2: the accuracy on the test (or validation) images after each epoch."""
    split = _followed_split(histories)
    return _draw_accuracy(histories, "followed", f"{split} accuracy after each epoch")


def draw_training_loss(histories: Histories) -> Figure:
    """Draw the loss on the augmented training images during each epoch."""
    return _draw_loss(histories, "train", "Training loss during each epoch (augmented images)")


def draw_training_accuracy(histories: Histories) -> Figure:
    """Draw the accuracy on the augmented training images during each epoch."""
    title = "Training accuracy during each epoch (augmented images)"
    return _draw_accuracy(histories, "train", title)


def draw_average(histories: Histories) -> Figure:
    """Draw the accuracy of the averaged weights against that of the weights themselves."""
    split = _followed_split(histories)
    with figure_style():
        figure, axes = _start_stretched(f"{split} accuracy with and without the average")
        for model, epochs in histories.items():
            numbers = [epoch.number for epoch in epochs]
            plain = [epoch.unaveraged.accuracy for epoch in epochs]
            averaged = [epoch.followed.accuracy for epoch in epochs]
            look = {"color": COLOURS[model], "marker": MARKERS[model], "markevery": [-1]}
            axes.plot(numbers, plain, ":", linewidth=1.2, label=f"{model}: the weights", **look)
            axes.plot(numbers, averaged, label=f"{model}: their average", **look)
        _finish_stretched(axes)
    return figure


def draw_learning_rate(histories: Histories) -> Figure:
    """Draw the learning rate at the end of each epoch."""
    with figure_style():
        figure, axes = _start("Learning rate at the end of each epoch", "learning rate", 2.8)
        _draw_with_markers(axes, histories, lambda epoch: epoch.learning_rate, _SPARSE)
        axes.legend(loc="upper right")
    return figure


def _draw_with_markers(
    axes: Axes,
    histories: Histories,
    value: Callable[[Epoch], float],
    every: Mapping[str, tuple[int, int]] | None = None,
) -> None:
    """Draw one curve per model, with a marker at all epochs, or from the first at each nth."""
    for model, epochs in histories.items():
        axes.plot(
            [epoch.number for epoch in epochs],
            [value(epoch) for epoch in epochs],
            color=COLOURS[model],
            marker=MARKERS[model],
            markevery=every[model] if every else None,
            label=model,
        )


def _followed_split(histories: Histories) -> str:
    return next(iter(histories.values()))[0].followed_split.capitalize()


def _draw_loss(histories: Histories, split: str, title: str) -> Figure:
    with figure_style():
        figure, axes = _start(title, "cross-entropy (nats), logarithmic")
        axes.set_yscale("log")
        _draw_models(axes, histories, lambda epoch: _score(epoch, split).loss, np.argmin, "{:.4f}")
        axes.yaxis.set_major_locator(FixedLocator(round_numbers(*axes.get_ylim())))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.legend(loc="upper right")
    return figure


def _draw_accuracy(histories: Histories, split: str, title: str) -> Figure:
    with figure_style():
        figure, axes = _start_stretched(title)
        _draw_models(
            axes, histories, lambda epoch: _score(epoch, split).accuracy, np.argmax, "{:.2%}"
        )
        _finish_stretched(axes)
    return figure


def _start_stretched(title: str) -> tuple[Figure, Axes]:
    """Start a figure of accuracies by the logarithm of the error rate.

    So halving the errors is one distance everywhere.
    """
    figure, axes = _start(title, "accuracy (%), stretched towards 100 %")
    axes.set_yscale(
        "function",
        functions=(
            lambda accuracy: -np.log10(np.maximum(1 - np.asarray(accuracy), LEAST)),
            lambda height: 1 - 10.0 ** -np.asarray(height),
        ),
    )
    return figure, axes


def _finish_stretched(axes: Axes) -> None:
    low, high = axes.get_ylim()
    error_rates = np.array(round_numbers(1 - high, 1 - low))
    axes.yaxis.set_major_locator(FixedLocator((1 - error_rates).tolist()))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}"))
    axes.legend(loc="lower right")


def _score(epoch: Epoch, split: str) -> Score:
    return getattr(epoch, split)


def _start(title: str, y_label: str, height: float = 4.2) -> tuple[Figure, Axes]:
    figure, axes = subplots(6.4, height)
    axes.set(title=title, xlabel="epoch", ylabel=y_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    return figure, axes


def _draw_models(
    axes: Axes,
    histories: Histories,
    value: Callable[[Epoch], float],
    find_best: Callable[[list[float]], np.intp],
    form: str,
) -> None:
    """Draw one curve per model; mark its best value with a star and its last with its marker."""
    for model, epochs in histories.items():
        numbers = [epoch.number for epoch in epochs]
        values = [value(epoch) for epoch in epochs]
        best = int(find_best(values))
        label = (
            f"{model}: best {form.format(values[best])} (epoch {numbers[best]}), "
            f"last {form.format(values[-1])}"
        )
        colour = COLOURS[model]
        axes.plot(numbers, values, color=colour, marker=MARKERS[model], markevery=[-1], label=label)
        axes.plot(
            numbers[best], values[best], "*", color=colour, markersize=12, markeredgecolor=PAPER
        )
