"""The test images that the models get wrong."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.analysis.mistakes import SHOWN, Mistake
from stages.core.dataset import Split
from stages.reporting.figures.style import GREY, NAMES, figure_style, subplots
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
