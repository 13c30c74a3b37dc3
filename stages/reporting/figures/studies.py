"""The answer of a study: the error at each value of what varies, one line per model."""

from collections.abc import Sequence
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
    LOOKS,
    MARKERS,
    PAPER,
    figure_style,
    round_numbers,
    subplots,
)
from stages.reporting.formats import is_number
from stages.reporting.words import call

_SPREAD = 0.2  # of the distance of two places: over it the series stand side by side
_WIDE_SPREAD = 0.4  # the same where no lines lead from place to place
_ASIDE = 0.05  # how far the seeds stand beside their mean, likewise
_LEAST_RANGE = 3  # of the axis, highest / lowest, so that small differences look small
_READINGS = {"bn-recomputed": ("--", "D"), BATCH: (":", "v"), "bn-composed": ("-.", "^")}

_CROSS = {"color": INK, "marker": "x", "linestyle": "", "markersize": 8, "markeredgewidth": 1.5}


def draw_answer(question: Question, *beside: Question) -> Figure:
    """Draw the test error of each seed, and the mean with Student's 95 % interval.

    At each value of what varies, evenly spaced; at each model, if nothing does. A cross marks
    where trainings diverged; there, the spread of the others says nothing, and is left out.
    Questions ``beside`` have panels of their own, with the same errors at the same height. Below
    stands what others found, if the study says so.
    """
    panels = [question, *beside]
    with figure_style():
        if question.published is None:
            widths = [len(one.study.places) + 1 for one in panels]
            figure, grid = subplots(
                *(6.4, 3.2, 1, len(panels)), sharey=True, squeeze=False, width_ratios=widths
            )
            axes, *others = grid[0]
        else:
            figure, (axes, below) = subplots(6.4, 5.2, rows=2)
            _draw_published(below, question.published, question.study.places)
            others = []
        for of_panel, one in zip([axes, *others], panels, strict=True):
            _draw_panel(of_panel, one)
        _limit_errors(axes, [one for panel in panels for one in panel.series])
        title = "Test error: seeds, mean, 95 % interval"
        axes.set(title=title, ylabel="error (%), logarithmic")
        if question.study.varied:  # no legend within the axes, where lines often cross it
            handles = axes.get_legend_handles_labels()[0]
            columns = min(len(handles), 4)
            figure.legend(handles=handles, loc="outside upper center", ncols=columns)
    return figure


def _draw_panel(axes: Axes, question: Question) -> None:
    axis, series, places = question.study.varied, question.series, question.study.places
    axes.set_yscale("log")
    is_scale = bool(axis) and all(map(is_number, places))  # else nothing is between two places
    spread = _SPREAD if is_scale else _WIDE_SPREAD
    for number, one in enumerate(series):
        aside = spread * (number - (len(series) - 1) / 2) / len(series)
        known = [i for i in range(len(places)) if one.accuracy(i)]
        at = [(i + aside if axis else number, i) for i in known]
        if at:
            _draw_series(axes, one, at, is_scale)
    if any(cell.diverged for one in series for cell in one.cells):
        axes.plot([], [], label="diverged", **_CROSS)
    _name_places(axes, places if axis else [call(x.name).replace(" ", "\n") for x in series])
    axes.set_xlabel(axis or "normalization")


def _draw_series(
    axes: Axes, series: Series, at: Sequence[tuple[float, int]], is_scale: bool
) -> None:
    """Draw the means at their places along x, joined by a line where these are numbers."""
    line, marker = _READINGS.get(series.name, ("-", MARKERS[series.model]))
    axes.plot(
        [x for x, _ in at],
        [_mean_error(series, i) for _, i in at],
        linestyle=line if is_scale else "",
        color=COLOURS[series.model],
        marker=marker,
        label=call(series.name) + " (does not vary)" * series.is_control,
    )
    for x, i in at:
        _draw_spread(axes, series, i, x)


def _draw_spread(axes: Axes, series: Series, place: int, x: float) -> None:
    """Draw the seeds and the interval of their mean; instead a cross, where trainings diverged."""
    cell = series.cells[place]
    dots = [max(1 - a, LEAST) for s, a in series.accuracy(place).items() if s not in cell.diverged]
    look = {"color": COLOURS[series.model], "alpha": 0.5, "linestyle": "", "marker": "."}
    axes.plot([x + _ASIDE] * len(dots), dots, **look, markersize=3)
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
        axes.plot(at, errors, **LOOKS[model], label=model)
    _name_places(axes, places)
    axes.set(title=published.network, xlabel=published.axis, ylabel="error (% of the images)")
    axes.legend()


def _name_places(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)


def _limit_errors(axes: Axes, series: Sequence[Series]) -> None:
    """Let the axis hold all seeds, with round numbers; and show where guessing is.

    It holds the upper ends of the intervals too; lower ends may be 0, infinitely far down.
    """
    known = [(x, i) for x in series for i in range(len(x.cells)) if x.accuracy(i)]
    errors = [max(1 - a, LEAST) for x, i in known for a in x.accuracy(i).values()]
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
    ticks = round_numbers(low, min(high, 1))
    axes.set_yticks(ticks, [f"{100 * error:.4g}" for error in ticks])
    axes.set_ylim(low, high)  # which ticks beyond would have moved
    axes.yaxis.minorticks_off()


def _mean_error(series: Series, place: int) -> float:
    return max(1 - mean(series.accuracy(place).values()), LEAST)


def _find_ends(series: Series, place: int) -> tuple[float, float] | None:
    """Return the ends of the interval of the mean error; None for one seed, or if any diverged."""
    if series.cells[place].diverged:
        return None
    errors = [1 - accuracy for accuracy in series.accuracy(place).values()]
    interval = mean_interval(errors, 1) if len(errors) > 1 else None
    return None if interval is None else (max(interval.low, LEAST), min(interval.high, 1))
