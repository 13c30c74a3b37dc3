"""The accuracy on shifted test images, by severity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from stages.analysis.shifts import BATCH, NEUTRAL, Shifts
from stages.evaluation.shifted_images import shift_images
from stages.reporting.figures.style import GREY, LOOKS, PAPER, figure_style, subplots
from stages.reporting.words import SHIFTS, name_arm

_LOOKS: dict[str, dict[str, Any]] = {
    **{model: {**look, "markersize": 5} for model, look in LOOKS.items()},
    BATCH: {**LOOKS["bn"], "linestyle": (0, (3, 1.5)), "markersize": 6, "markerfacecolor": PAPER},
}
_COLUMNS = 2
_DOTTED = 4  # so many lines of arms have room for dots
_ASIDE = 0.025  # of the width of a panel: how far the dots of the models lie apart


@dataclass(frozen=True)
class _Line:
    label: str
    reading: str
    shifts: Shifts
    look: dict[str, Any]


def draw_shifts(
    arms: Mapping[str, Shifts], controls: Sequence[str] = (), image: torch.Tensor | None = None
) -> Figure:
    """Draw the accuracy of each reading by the severity of each shift, from no shift on.

    Under each axis stands the ``image`` [1, 1, H, W], so changed. Several seeds are dots beside
    their mean, those of the models side by side, where the lines are few. If something varies, each
    of its values has a line, the fainter the earlier.
    """
    lines = _list_lines(arms, controls)
    accuracy = lines[0].shifts.accuracy
    shifts = [one for one in SHIFTS if any(case.shift == one for case in accuracy)]
    rows = -(-(len(shifts) + 1) // _COLUMNS)  # the last panel is the legend
    with figure_style():
        height = 1.65 if image is None else 1.9
        figure, panels = subplots(6.4, height * rows, rows, _COLUMNS, sharey=True, squeeze=False)
        for axes, shift in zip(panels.flat, shifts, strict=False):
            severities = _draw_shift(
                axes, shift, lines, has_dots=len(arms) == 1 or len(lines) <= _DOTTED
            )
            if image is not None:
                _draw_images(axes, shift, severities, image)
        for axes in panels.flat[len(shifts) :]:
            axes.axis("off")
        for axes in panels[:, 0]:
            axes.set(ylabel="accuracy (%)", ylim=(-4, 104))
        handles = [Line2D([], [], label=line.label, **line.look) for line in lines]
        panels.flat[len(shifts)].legend(handles=handles, loc="center left", handlelength=3)
    return figure


def _list_lines(arms: Mapping[str, Shifts], controls: Sequence[str]) -> list[_Line]:
    long = {BATCH: f"{BATCH}: statistics\nof the test batch"}
    lines: dict[str, _Line] = {}
    for number, (place, shifts) in enumerate(arms.items(), start=1):
        known = {case.reading for case in shifts.accuracy}
        for reading, look in _LOOKS.items():
            if reading in known and not (place and reading == BATCH):
                at = "" if reading in controls else place
                name = name_arm(long.get(reading, reading), at)
                alpha = (1 + 4 * number / len(arms)) / 5 if at else 1
                lines.setdefault(name, _Line(name, reading, shifts, {**look, "alpha": alpha}))
    return sorted(lines.values(), key=lambda line: line.reading in controls)


def _draw_shift(axes: Axes, shift: str, lines: Sequence[_Line], has_dots: bool) -> list[float]:
    """Draw one panel; return its severities, the one that changes nothing among them."""
    words, neutral = SHIFTS[shift], NEUTRAL.get(shift, 0)
    for number, line in enumerate(lines):
        found = line.shifts
        points = found.by_severity(shift, line.reading)
        severities = sorted(points)
        shares = [100 * found.accuracy[points[severity]] for severity in severities]
        axes.plot(severities, shares, **line.look)
        aside = (number - 1.5) * _ASIDE * (severities[-1] - severities[0])
        for severity, case in points.items():
            if has_dots and case in found.by_seed:
                dots = [100 * share for share in found.by_seed[case]]
                look = {"color": line.look["color"], "alpha": 0.5, "linestyle": "", "marker": "."}
                axes.plot([severity + aside] * len(dots), dots, **look, markersize=3)
    axes.set(title=shift.capitalize(), xlabel=words.axis)
    if shift == "inversion":
        axes.set(xlim=(-0.3, 1.3))
        axes.set_xticks([0, 1], ["as they are", "inverted"])
    if neutral == 1:  # as everywhere, the more of it, the further to the right
        axes.invert_xaxis()
    return severities


def _draw_images(axes: Axes, shift: str, severities: Sequence[float], image: torch.Tensor) -> None:
    """Show the ``image`` under the axis at the severities that leave room, the greatest first."""
    neutral, shown = NEUTRAL.get(shift, 0), list[float]()
    room = (max(severities) - min(severities)) / 7
    for severity in sorted(severities, key=lambda one: abs(one - neutral), reverse=True):
        if all(abs(severity - other) >= room for other in shown):
            shown.append(severity)
            kind = "none" if severity == neutral else shift
            grey = shift_images(image, kind, severity)[0, 0].numpy()
            thumbnail = OffsetImage(
                grey[..., None].repeat(3, -1), zoom=0.9, interpolation="nearest"
            )
            place = (severity, 0), (0, -33), axes.get_xaxis_transform(), "offset points"
            axes.add_artist(AnnotationBbox(thumbnail, *place, pad=0, bboxprops={"edgecolor": GREY}))
    axes.xaxis.labelpad = 32
