"""The answer of a study: the error at each value of what varies, one line per model."""

from collections.abc import Sequence
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from stages.analysis.inference import mean_interval
from stages.analysis.shifts import BATCH
from stages.analysis.studies import Question, Series
from stages.records.declaration import Published
from stages.records.results import CHANCE
from stages.reporting.figures.style import (
    COLOURS,
    GREY,
    INK,
    LEAST,
    MARKERS,
    PAPER,
    figure_style,
    round_numbers,
    subplots,
)
from stages.reporting.formats import is_number
from stages.reporting.words import call, name_axis

_SPREAD = 0.2  # of the distance of two places: over it the series stand side by side
_WIDE_SPREAD = 0.4  # the same where no lines lead from place to place
_LEAST_RANGE = 3  # of the axis, highest / lowest, so that small differences look small
_DASH = 4
_LEGEND_LINE = 3.3  # in font sizes; long enough for two dashes
_READINGS = {"bn-recomputed": ("--", "D"), BATCH: (":", "v")}

_CROSS = {"color": INK, "marker": "x", "linestyle": "", "markersize": 8, "markeredgewidth": 1.5}


def draw_answer(question: Question) -> Figure:
    """Draw the mean test error over the seeds, with Student's 95 % intervals.

    At each value of what varies, evenly spaced; at each model, if nothing does. A cross marks
    where trainings diverged; there, the spread of the others says nothing, and is left out.
    Below stands what others found, if the study says so.
    """
    axis = name_axis(question)
    with figure_style():
        if question.published is None:
            figure, axes = subplots(6.4, 4.2)
        else:
            figure, (axes, below) = subplots(6.4, 6.6, rows=2)
            _draw_published(below, question.published, question.places)
        axes.set_yscale("log")
        if axis:
            _draw_lines(axes, question.series, question.places)
        else:
            _draw_models(axes, question.series)
        _limit_errors(axes, question.series)
        axes.set(
            title="Test error: mean over seeds, 95 % interval",
            xlabel=axis or "normalization",
            ylabel="error (% of the images), logarithmic",
        )
        if handles := axes.get_legend_handles_labels()[0]:
            # Not within the axes, where lines often cross them.
            has_dashes = any(one.is_control for one in question.series)
            figure.legend(
                handles=handles,
                handlelength=_LEGEND_LINE if has_dashes else None,
                loc="outside upper center",
                ncols=len(handles),
            )
    return figure


def _draw_lines(axes: Axes, series: Sequence[Series], places: Sequence[str]) -> None:
    """Draw each series over all places, a little beside the others; numbers are joined by lines."""
    controls = [one for one in series if one.is_control and one.accuracy(0)]
    for number, one in enumerate(controls):
        # Dashes of one fill the gaps of the other: controls often coincide.
        gaps = (number * _DASH, (_DASH, _DASH * max(len(controls) - 1, 0.5)))
        colour, label = COLOURS[one.model], f"{call(one.name)} (does not vary)"
        axes.axhline(_mean_error(one, 0), color=colour, linestyle=gaps, label=label)
        if ends := _find_ends(one, 0):
            axes.axhspan(*ends, color=colour, alpha=0.12, linewidth=0)
    varying = [one for one in series if not one.is_control]
    is_scale = all(map(is_number, places))  # else there is nothing between two places
    spread = _SPREAD if is_scale else _WIDE_SPREAD
    for number, one in enumerate(varying):
        shift = spread * (number - (len(varying) - 1) / 2) / len(varying)
        known = [i for i in range(len(places)) if one.accuracy(i)]
        line, marker = _READINGS.get(one.name, ("-", MARKERS[one.model]))
        axes.plot(
            [i + shift for i in known],
            [_mean_error(one, i) for i in known],
            linestyle=line if is_scale else "",
            color=COLOURS[one.model],
            marker=marker,
            label=call(one.name),
        )
        for i in known:
            _draw_spread(axes, one, i, i + shift)
    if any(cell.diverged for one in series for cell in one.cells):
        axes.plot([], [], label="diverged", **_CROSS)
    axes.set_xticks(range(len(places)), places)
    axes.set_xlim(-0.5, len(places) - 0.5)


def _draw_models(axes: Axes, series: Sequence[Series]) -> None:
    """Draw each series at a place of its own."""
    for x, one in enumerate(series):
        if one.accuracy(0):
            look = {"color": COLOURS[one.model], "marker": MARKERS[one.model], "markersize": 8}
            axes.plot(x, _mean_error(one, 0), **look)
            _draw_spread(axes, one, 0, x)
    axes.set_xticks(range(len(series)), [call(one.name).replace(" ", "\n") for one in series])
    axes.set_xlim(-0.5, len(series) - 0.5)


def _draw_spread(axes: Axes, series: Series, place: int, x: float) -> None:
    """Draw the interval of the mean; instead a cross, where trainings diverged."""
    cell = series.cells[place]
    if ends := _find_ends(series, place):
        axes.plot([x, x], ends, color=COLOURS[series.model], linewidth=1.2)
    if not cell.diverged:
        return
    error = _mean_error(series, place)
    axes.plot(x, error, **_CROSS)
    if len(cell.diverged) < len(cell.rows):
        share = f"{len(cell.diverged)} of {len(cell.rows)}"
        below = {"xytext": (0, -8), "textcoords": "offset points", "ha": "center", "va": "top"}
        box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}
        look = {"color": COLOURS[series.model], "fontsize": 8, "bbox": box, "zorder": 5}
        axes.annotate(share, (x, error), **below, **look)


def _draw_published(axes: Axes, published: Published, places: Sequence[str]) -> None:
    """Draw what others found, at the same values as above."""
    for model, errors in published.errors.items():
        at = [places.index(place) for place in published.places]
        axes.plot(at, errors, color=COLOURS[model], marker=MARKERS[model], label=model)
    axes.set_xticks(range(len(places)), places)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set(title=published.network, xlabel=published.axis, ylabel="error (% of the images)")
    axes.legend()


def _limit_errors(axes: Axes, series: Sequence[Series]) -> None:
    """Let the axis hold all means, with round numbers; and show where guessing is.

    It holds the upper ends of the intervals too; lower ends may be 0, infinitely far down.
    """
    known = [(x, i) for x in series for i in range(len(x.cells)) if x.accuracy(i)]
    errors = [_mean_error(*cell) for cell in known]
    tops = [1.05 * ends[1] for cell in known if (ends := _find_ends(*cell))]
    low, high = min(errors) / 1.3, max([1.3 * max(errors), *tops])
    wider = max((_LEAST_RANGE * low / high) ** 0.5, 1)
    low, high = low / wider, high * wider
    if high > 1 - CHANCE:
        axes.axhline(1 - CHANCE, color=GREY, linewidth=1, linestyle="--", zorder=1)
        # Above the line, and above the crosses on it.
        above = {"xytext": (-4, 5), "textcoords": "offset points", "ha": "right", "va": "bottom"}
        look = {"color": GREY, "fontsize": 9, "xycoords": axes.get_yaxis_transform()}
        axes.annotate("guessing", (1, 1 - CHANCE), **above, **look)
        high = max(high, 1.6)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(round_numbers(low, min(high, 1))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 * error:.4g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _mean_error(series: Series, place: int) -> float:
    return max(1 - mean(series.accuracy(place).values()), LEAST)


def _find_ends(series: Series, place: int) -> tuple[float, float] | None:
    """Return the ends of the interval of the mean error; None for one seed, or if any diverged."""
    if series.cells[place].diverged:
        return None
    errors = [1 - accuracy for accuracy in series.accuracy(place).values()]
    interval = mean_interval(errors, 1) if len(errors) > 1 else None
    return None if interval is None else (max(interval.low, LEAST), min(interval.high, 1))
