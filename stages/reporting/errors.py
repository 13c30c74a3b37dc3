"""What the models get wrong."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from stages.dataset import Split
from stages.params import MODELS
from stages.reporting.statistics import proportion_interval
from stages.reporting.style import (
    COLOURS,
    GREY,
    GRID,
    INK,
    MARKERS,
    NAMES,
    figure_style,
    subplots,
)

SHOWN = 10  # a matrix of five rows and two columns


def predict(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return from logits [N, 10] the predicted digits' softmax probabilities, and the digits."""
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    return confidence, predicted


def find_errors(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the indices of the misclassified images, the most confident mistake first.

    Args:
        logits: [N, 10].
        labels: [N].

    The confidence is the softmax probability of the predicted digit; equal ones stand in the
    order of their indices.
    """
    confidence, predicted = predict(logits)
    wrong = (predicted != labels).nonzero().squeeze(1)
    return wrong[confidence[wrong].argsort(descending=True, stable=True)]


def draw_errors(model: str, logits: torch.Tensor, split: Split) -> Figure:
    """Draw the ten most confident mistakes of ``model`` on ``split``, as a 5x2 matrix."""
    wrong = find_errors(logits, split.labels)
    confidence, predicted = predict(logits)
    with figure_style():
        figure, panels = subplots(4.6, 10.2, 5, 2)
        for axes in panels.flat:
            axes.axis("off")
        for axes, index in zip(panels.flat, wrong[:SHOWN].tolist(), strict=False):
            _draw_digit(axes, split.images[index, 0])
            axes.set_title(
                f"#{index}: true {int(split.labels[index])}\n"
                f"predicted {int(predicted[index])} ({confidence[index]:.1%})",
                fontsize=10,
                fontweight="normal",
                loc="center",
            )
        few = f"; only {len(wrong)} in all" if len(wrong) < SHOWN else ""
        figure.suptitle(
            f"{model} ({NAMES[model]})\n{min(SHOWN, len(wrong))} of {len(wrong)} {split.name} "
            f"errors, most confident first{few}",
            fontsize=11,
            fontweight="bold",
        )
    return figure


def _draw_digit(axes: Axes, image: torch.Tensor) -> None:
    axes.imshow(image.numpy(), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    axes.axis("on")
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=GREY)


def find_overlaps(
    logits: dict[str, torch.Tensor], labels: torch.Tensor
) -> dict[tuple[str, ...], list[int]]:
    """Find the images that exactly each set of models gets wrong, all models first.

    Args:
        logits: by model, [N, 10].
        labels: [N].

    Returns:
        Indices, in the order of the confidence of the set's first model.
    """
    wrong = {model: dict.fromkeys(find_errors(x, labels).tolist()) for model, x in logits.items()}
    overlaps: dict[tuple[str, ...], list[int]] = {
        models: [] for size in (3, 2, 1) for models in combinations(MODELS, size)
    }
    for model, indices in wrong.items():
        for index in indices:
            models = tuple(other for other in MODELS if index in wrong[other])
            if models[0] == model:
                overlaps[models].append(index)
    return overlaps


def draw_overlaps(overlaps: dict[tuple[str, ...], list[int]]) -> Figure:
    """Draw how many images exactly each set of models gets wrong."""
    counts = [len(indices) for indices in overlaps.values()]
    with figure_style():
        figure, axes = subplots(6.4, 3.8)
        for row, count in enumerate(counts):
            axes.barh(row, count, color=GREY, height=0.6)
            axes.text(count, row, f" {count}", va="center")
        widest = max(counts) or 1
        for column, model in enumerate(MODELS):
            x = -widest * 0.08 * (len(MODELS) - column)
            axes.text(x, -0.9, model, ha="center", color=COLOURS[model], fontweight="bold")
            for row, models in enumerate(overlaps):
                colour = COLOURS[model] if model in models else GRID
                axes.plot(x, row, MARKERS[model], color=colour, markersize=9)
        axes.set(
            title="Test images that exactly these models get wrong",
            xlabel="images",
            xlim=(-widest * 0.32, widest * 1.1),
            ylim=(len(overlaps) - 0.4, -1.4),
            yticks=[],
        )
        axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= widest])
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False)
    return figure


def count_confusions(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Count, [10, 10], how often each true digit (row) was taken for each digit (column)."""
    pairs = labels.long() * 10 + logits.argmax(dim=1)
    return torch.bincount(pairs, minlength=100).view(10, 10)


def draw_confusions(model: str, logits: torch.Tensor, labels: torch.Tensor) -> Figure:
    """Draw the confusions of ``model``, the darker the more frequent."""
    counts = count_confusions(logits, labels)
    errors = counts.clone().fill_diagonal_(0)
    with figure_style():
        figure, axes = subplots(4.8, 4.8)
        axes.grid(visible=False)
        for true, predicted in np.ndindex(10, 10):
            count = int(counts[true, predicted])
            is_right = true == predicted
            if count and not is_right:
                alpha = 0.15 + 0.7 * count / int(errors.max())
                corner = (predicted - 0.5, true - 0.5)
                axes.add_patch(Rectangle(corner, 1, 1, color=COLOURS[model], alpha=alpha))
            if count:
                look = {"fontsize": 8, "color": GREY} if is_right else {"fontsize": 10}
                axes.text(predicted, true, f"{count}", ha="center", va="center", **look)
        axes.set(
            title=f"{model}: {int(errors.sum())} errors",
            xlabel="predicted digit",
            ylabel="true digit",
            xlim=(-0.5, 9.5),
            ylim=(9.5, -0.5),
            xticks=range(10),
            yticks=range(10),
            aspect="equal",
        )
    return figure


def draw_digit_accuracies(logits: dict[str, torch.Tensor], labels: torch.Tensor) -> Figure:
    """Draw the accuracy on each digit's images, with exact 95 % intervals."""
    with figure_style():
        figure, axes = subplots(6.4, 4.2)
        for shift, (model, x) in zip((-0.22, 0, 0.22), logits.items(), strict=True):
            is_right = x.argmax(dim=1) == labels
            for digit in range(10):
                of_digit = is_right[labels == digit]
                right, total = int(of_digit.sum()), len(of_digit)
                interval = proportion_interval(right, total)
                axes.plot(
                    [digit + shift] * 2,
                    [100 * interval.low, 100 * interval.high],
                    color=COLOURS[model],
                    linewidth=1.2,
                )
                axes.plot(
                    digit + shift,
                    100 * right / total,
                    MARKERS[model],
                    color=COLOURS[model],
                    label=model if digit == 0 else None,
                )
        axes.set(
            title="Accuracy on each digit, with 95 % intervals",
            xlabel="true digit",
            ylabel="test accuracy (%)",
            xticks=range(10),
        )
        axes.legend(loc="lower left", ncols=3)
    return figure


def draw_reliability(logits: dict[str, torch.Tensor], labels: torch.Tensor) -> Figure:
    """Draw how often predictions of a confidence are right; on the diagonal it is calibrated."""
    with figure_style():
        figure, axes = subplots(5.4, 5.0)
        axes.axline((0, 0), slope=1, color=INK, linewidth=0.8, linestyle="--")
        for model, x in logits.items():
            bins = bin_by_confidence(x, labels)
            for one in bins:
                interval = proportion_interval(one.right, one.total)
                ends = [interval.low, interval.high]
                axes.plot([one.confidence] * 2, ends, color=COLOURS[model], linewidth=1)
            axes.plot(
                [one.confidence for one in bins],
                [one.right / one.total for one in bins],
                color=COLOURS[model],
                marker=MARKERS[model],
                label=model,
            )
        axes.set(
            title="Reliability: ten bins of confidence",
            xlabel="mean confidence of the bin",
            ylabel="share that is right, with 95 % intervals",
            xlim=(0.2, 1.02),
            ylim=(-0.02, 1.02),
        )
        axes.legend(loc="upper left")
    return figure


@dataclass(frozen=True)
class Bin:
    """Predictions of similar confidence: their mean confidence, and how many are right."""

    confidence: float
    right: int
    total: int


def bin_by_confidence(logits: torch.Tensor, labels: torch.Tensor, count: int = 10) -> list[Bin]:
    """Sort predictions into ``count`` bins of equal width over 0 to 1; leave out empty ones."""
    confidence, predicted = predict(logits)
    numbers = (confidence * count).long().clamp(max=count - 1)
    is_right = predicted == labels
    return [
        Bin(
            float(confidence[numbers == number].mean()),
            int(is_right[numbers == number].sum()),
            int((numbers == number).sum()),
        )
        for number in numbers.unique().tolist()
    ]


def calibration_error(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the expected calibration error over 15 bins (Guo et al. 2017, eq. 3), a fraction."""
    bins = bin_by_confidence(logits, labels, count=15)
    return sum(abs(one.right - one.confidence * one.total) for one in bins) / len(labels)
