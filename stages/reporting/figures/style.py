"""How every figure looks: a colour and a marker for each model, legible text, the same bytes."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from stages.core.params import MODELS

# Okabe and Ito's colours, which colour-blind readers tell apart; the markers repeat them.
COLOURS = {
    **{"bn": "#0072B2", "gn": "#D55E00", "ln": "#009E73"},
    **{"channels": "#CC79A7", "instance": "#E69F00", "none": "#808080"},  # of studies alone
}
MARKERS = {"bn": "o", "gn": "s", "ln": "^", "channels": "v", "instance": "D", "none": "P"}
LOOKS = {model: {"color": COLOURS[model], "marker": MARKERS[model]} for model in COLOURS}
NAMES = {model: f"{normalization} normalization" for model, normalization in MODELS.items()}
GREY = "#808080"
LEAST = 1e-5  # of losses and error rates, which may be 0, on a logarithmic axis
# Colours of their own, so that a page can replace them by those of its light or dark scheme.
INK, PAPER, GRID = "#010203", "#FDFEFF", "#DADBDC"

_SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs on every machine
    "font.size": 11,
    "text.color": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.facecolor": PAPER,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "normalization",  # else the ids are random
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw, or save, in the style of the report, whatever settings of matplotlib a user has."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def subplots(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: bool | list[int]
) -> tuple[Figure, Any]:
    """Start a figure of ``width`` x ``height`` inches; return it and its axes, or their array."""
    figure = Figure(figsize=(width, height))  # not pyplot's, which would keep it
    return figure, figure.subplots(rows, columns, **options)


def round_numbers(low: float, high: float) -> list[float]:
    """Return round numbers within [low, high], evenly on a logarithmic axis."""
    low = max(low, LEAST)
    high = max(high, 10 * low)
    leading = (1, 1.5, 2, 3, 4, 5, 6, 8) if high / low < 20 else (1, 2, 3, 5)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    numbers = [digit * 10.0**decade for decade in decades for digit in leading]
    return [number for number in numbers if low <= number <= high]


def render_png(figure: Figure, dots_per_inch: int) -> bytes:
    """Return ``figure`` as PNG, without a version or a date in it."""
    content = io.BytesIO()
    with figure_style():
        figure.savefig(content, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return content.getvalue()


def render_svg(figure: Figure, text: str) -> str:
    """Return ``figure`` as an ``<svg>`` element for a page, described by ``text``.

    It scales with its container and takes its ink, paper and grid from the page's CSS
    variables ``--ink``, ``--paper`` and ``--grid``. Without that CSS it would be a black box, and
    so it is hidden until the page's own sets ``display``.
    """
    content = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with figure_style():
        figure.savefig(content, format="svg", metadata=metadata)
    svg = content.getvalue()[content.getvalue().index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\swidth="[\d.]+pt"|\sheight="[\d.]+pt"', "", svg, count=2)
    for name, colour in (("ink", INK), ("paper", PAPER), ("grid", GRID)):
        svg = svg.replace(colour.lower(), f"var(--{name})")
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", svg)
    label = text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return svg.replace("<svg", f'<svg display="none" role="img" aria-label="{label}"', 1).rstrip()
