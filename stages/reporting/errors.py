"""What the models get wrong."""

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.dataset import Split
from stages.reporting.style import GREY, NAMES, figure_style

SHOWN = 10  # a matrix of five rows and two columns


def find_errors(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the indices of the misclassified images, the most confident mistake first.

    Args:
        logits: [N, 10].
        labels: [N].

    The confidence is the softmax probability of the predicted digit; equal ones stand in the
    order of their indices.
    """
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    wrong = (predicted != labels).nonzero().squeeze(1)
    return wrong[confidence[wrong].argsort(descending=True, stable=True)]


def draw_errors(model: str, logits: torch.Tensor, split: Split) -> Figure:
    """Draw the ten most confident mistakes of ``model`` on ``split``, as a 5x2 matrix."""
    wrong = find_errors(logits, split.labels)
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    with figure_style():
        figure, panels = plt.subplots(5, 2, figsize=(4.6, 10.2))
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
