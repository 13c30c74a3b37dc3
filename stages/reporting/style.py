"""How every figure looks: one colour and marker a model, legible text, the same bytes each time."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart; the markers repeat them.
COLOURS = {"bn": "#0072B2", "gn": "#D55E00", "ln": "#009E73"}
MARKERS = {"bn": "o", "gn": "s", "ln": "^"}
NAMES = {
    "bn": "batch normalization",
    "gn": "group normalization",
    "ln": "layer normalization",
}
GREY = "#666666"

_SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs on every machine
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the style of the report."""
    with matplotlib.rc_context(_SETTINGS):
        yield


def render_png(figure: Figure, dots_per_inch: int) -> bytes:
    """Return ``figure`` as PNG without a version or a date, and close it."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dots_per_inch, metadata={"Software": None})
    plt.close(figure)
    return content.getvalue()
