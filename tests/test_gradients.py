"""The factor by which gradients grow with depth, by hand."""

from math import sqrt

import pytest

from stages.analysis.gradients import find_growth
from stages.records.gradients import Norm
from stages.reporting.figures.gradients import draw_gradients
from stages.reporting.questions import tell_of_growth


def _norms(model: str, factors: list[float]) -> list[Norm]:
    return [
        Norm(model, "before", seed, block, 3 * factor ** (9 - block))
        for seed, factor in enumerate(factors)
        for block in (9, 7, 8)
    ]


def test_a_constant_factor_is_found() -> None:
    """2 and 8 a layer: 4 in the mean of the logarithms, and relative to the last block."""
    (found,) = find_growth(_norms("bn", [2, 8]))
    assert found.factor == pytest.approx(sqrt(2 * 8))
    assert [x for of_seed in found.norms for x in of_seed] == pytest.approx([4, 2, 1, 64, 8, 1])
    assert found.interval.low < 2 < 8 < found.interval.high  # two networks say little


def test_theory_is_held_against_the_interval() -> None:
    near, far = (find_growth(_norms("bn", x)) for x in ([1.2, 1.22, 1.21], [1.3, 1.31, 1.32]))
    assert "is seen" in tell_of_growth(near)
    assert "is not seen" in tell_of_growth(far)


def test_the_figure_has_a_line_for_each_network() -> None:
    _, before = draw_gradients(find_growth(_norms("gn", [2, 8]))).axes
    drawn = [y for line in before.lines for y in line.get_ydata()]
    assert drawn == pytest.approx([4, 2, 1, 64, 8, 1])
    assert list(before.lines[0].get_xdata()) == [2, 1, 0]
