"""What the models get wrong, in figures."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from stages.analysis.mistakes import SHOWN, Guesses, Mistake, count_confusions
from stages.core.dataset import Split
from stages.reporting.figures.style import (
    COLOURS,
    GREY,
    NAMES,
    figure_style,
    subplots,
)
from stages.reporting.words import Words


def draw_errors(model: str, mistakes: list[Mistake], split: Split, words: Words) -> Figure:
    """Draw the first ten ``mistakes`` of ``model`` on ``split``, as a 5x2 matrix."""
    with figure_style():
        figure, panels = subplots(4.6, 10.2, 5, 2)
        for axes in panels.flat:
            axes.axis("off")
        for axes, one in zip(panels.flat, mistakes[:SHOWN], strict=False):
            _draw_image(axes, split.images[one.index, 0])
            axes.set_title(
                f"#{one.index}: true {words.classes[one.true]}\n"
                f"predicted {words.classes[one.predicted]} ({one.confidence:.1%})",
                fontsize=10,
                fontweight="normal",
                loc="center",
            )
        total = len(mistakes)
        few = f"; only {total} in all" if total < SHOWN else ""
        figure.suptitle(
            f"{model} ({NAMES[model]})\n{min(SHOWN, total)} of {total} {split.name} "
            f"errors, most confident first{few}",
            fontsize=11,
            fontweight="bold",
        )
    return figure


def _draw_image(axes: Axes, image: torch.Tensor) -> None:
    axes.imshow(image.numpy(), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    axes.axis("on")
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=GREY)


def draw_confusions(model: str, guesses: Guesses, words: Words) -> Figure:
    """Draw the confusions of ``model``, the darker the more frequent."""
    counts = count_confusions(guesses)
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
            xlabel=f"predicted {words.noun}",
            ylabel=f"true {words.noun}",
            xlim=(-0.5, 9.5),
            ylim=(9.5, -0.5),
            yticks=range(10),
            yticklabels=words.classes,
            aspect="equal",
        )
        _name_columns(axes, words)
    return figure


def _name_columns(axes: Axes, words: Words) -> None:
    long = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(10), words.classes, **(long if words.longest > 3 else {}))
