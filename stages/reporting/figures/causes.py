"""What cures batch normalization and what breaks the others, layer by layer."""

from collections.abc import Sequence
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stages.analysis.causes import Causes
from stages.evaluation.shifts import Shift
from stages.records.causes import BRIGHTNESS, CONTRAST, NOISE, case_of
from stages.reporting.figures.style import COLOURS, LOOKS, figure_style, subplots
from stages.reporting.formats import capitalized
from stages.reporting.words import name_shift

_SHIFTS = CONTRAST, BRIGHTNESS, NOISE
_LEFT, _RIGHT = ("bn",), ("gn", "ln")
_SPREAD = 0.7  # of the distance of two places: over it the networks stand side by side


def draw_causes(causes: Causes) -> Figure:
    """Draw the accuracy of each network by the layers whose statistics are replaced.

    Left in bn, by those of the test batch; right in gn and ln, by those of clean training images.
    A dot is a network, a bar the mean over the seeds.
    """
    with figure_style():
        figure, panels = subplots(6.4, 7.2, len(_SHIFTS), 2, sharex=True, sharey=True)
        for (left, right), shift in zip(panels, _SHIFTS, strict=True):
            _draw_models(left, causes, _LEFT, shift)
            _draw_models(right, causes, _RIGHT, shift)
            left.set(ylabel="accuracy (%)", ylim=(-4, 104))
            left.set(title=f"{capitalized(name_shift(shift))}: bn, cured")
            right.set(title="gn and ln, broken")
            for axes in (left, right):
                axes.tick_params(labelbottom=True)
        panels[-1][0].set(xlabel="layers of bn that measure\nthe test images")
        panels[-1][1].set(xlabel="layers of gn and ln that\nare frozen")
        handles = [
            Line2D([], [], linestyle="", label=model, **LOOKS[model]) for model in _LEFT + _RIGHT
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _draw_models(axes: Axes, causes: Causes, models: Sequence[str], shift: Shift) -> None:
    layers, width = causes.layers, _SPREAD / len(models)
    places = {
        "none": [],
        **{str(layer): [layer] for layer in layers},
        f"{layers[1]}-{layers[-1]}": layers[1:],
        "all": layers,
    }
    for number, model in enumerate(models):
        for place, replaced in enumerate(places.values()):
            fresh = replaced if model == "bn" else [x for x in layers if x not in replaced]
            values = [100 * share for share in causes.accuracies(case_of(model, shift, fresh))]
            left = place + (number - len(models) / 2) * width
            step = width / len(values)
            at = [left + (i + 0.5) * step for i in range(len(values))]
            axes.plot(at, values, linestyle="", alpha=0.6, **LOOKS[model], markersize=2.5)
            axes.hlines(mean(values), left, left + width, color=COLOURS[model], linewidth=2)
    axes.set_xticks(range(len(places)), places)
