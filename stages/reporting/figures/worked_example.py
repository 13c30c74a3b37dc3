"""How the three layers normalize: what shares a mean and a variance."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from stages.reporting.figures.style import PAPER, figure_style, subplots

# None is the colour of a model, all are light enough to read black numbers on.
_FILLS = ["#F5E99C", "#CDB5D8", "#A9D6F5", "#F7C5D8", "#BFE3B4", "#F5C08A", "#C9C9C9", "#E3D3BE"]
_GAP = 0.5  # cells between channels
_LINE = 1.3  # cells between images: room for a mean and a variance


def draw_worked_example(images: torch.Tensor, normalization: str, sets: torch.Tensor) -> Figure:
    """Draw ``images`` [N, C, H, W]; those of one number in ``sets`` share a colour and statistics.

    These are a mean and a (population) variance.
    """
    with figure_style():
        figure, axes = subplots(5, 5.6)
        num_images, num_channels, height, width = images.shape
        for number in sets.unique():
            _draw_set(axes, images, sets == number, _FILLS[number])
        for image in range(num_images):
            x, y = _place(images, image, 0, 0, 0)
            axes.text(x - 0.2, y + height / 2, f"image {image + 1}", ha="right", va="center")
        for channel in range(num_channels):
            x, y = _place(images, 0, channel, 0, 0)
            axes.text(x + width / 2, y - 0.2, f"channel {channel + 1}", ha="center", fontsize=9)
        right, bottom = _place(images, num_images - 1, num_channels - 1, height, width)
        title = f"{normalization.capitalize()} normalization:\n{sets.max() + 1} means and variances"
        axes.text(0, -1.1, title, fontsize=12, fontweight="bold", va="bottom")
        axes.set(xlim=(-2.3, right + 0.1), ylim=(bottom + 1.5, -2.3), aspect="equal")
        axes.axis("off")
    return figure


def _draw_set(axes: Axes, images: torch.Tensor, cells: torch.Tensor, fill: str) -> None:
    """Draw the ``cells`` of one set, and its mean and variance below the lowest of them."""
    corners = []
    for place in cells.nonzero().tolist():
        x, y = _place(images, *place)
        corners.append((x, y))
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=fill, edgecolor=PAPER))
        value = _with_minus(f"{images[tuple(place)]:g}")
        axes.text(x + 0.5, y + 0.5, value, ha="center", va="center", color="black")
    left, right = min(x for x, _ in corners), max(x for x, _ in corners) + 1
    is_narrow = right - left <= images.shape[3]
    separator = "\n" if is_narrow else ", "
    mean, variance = float(images[cells].mean()), float(images[cells].var(correction=0))
    text = _with_minus(f"mean {mean:.3g}{separator}var. {variance:.3g}")
    bottom = max(y for _, y in corners) + 1
    size = 8 if is_narrow else 9
    axes.text((left + right) / 2, bottom + 0.1, text, ha="center", va="top", fontsize=size)


def _with_minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")


def _place(
    images: torch.Tensor, image: int, channel: int, row: int, column: int
) -> tuple[float, float]:
    """Return the corner of an element's cell: images go down, channels to the right."""
    _, _, height, width = images.shape
    return channel * (width + _GAP) + column, image * (height + _LINE) + row
