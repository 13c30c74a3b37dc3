"""Each interval and test, against a published or independently computed value."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from stages.analysis.inference import (
    correct_for_number,
    mean_interval,
    p_of_equivalence,
    p_of_mean_difference,
    p_of_sign_flips,
    proportion_interval,
)


def test_clopper_pearson_by_its_definition() -> None:
    """At each end of the interval, what was seen or more extreme has a probability of 2.5 %."""
    interval = proportion_interval(9951, 10_000)
    assert binom.sf(9950, 10_000, interval.low) == pytest.approx(0.025)
    assert binom.cdf(9951, 10_000, interval.high) == pytest.approx(0.025)
    assert (proportion_interval(0, 50).low, proportion_interval(50, 50).high) == (0, 1)


def test_clopper_pearson_published() -> None:
    """Newcombe 1998 (Statistics in Medicine 17: 857-872), table I, method 5: 81 of 263."""
    interval = proportion_interval(81, 263)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2527, 0.3676)


def test_holm_by_hand() -> None:
    """The smallest times 3, the next times 2, the largest times 1, never falling."""
    assert correct_for_number([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_paired_test_on_students_sleep_data() -> None:
    """Student 1908: t = -4.06 on 9 degrees of freedom, p = 0.00283; 95 % interval of the mean."""
    differences = [-1.2, -2.4, -1.3, -1.3, 0.0, -1.0, -1.8, -0.8, -4.6, -1.4]
    assert p_of_mean_difference(differences) == pytest.approx(0.002833, abs=1e-6)
    interval = mean_interval(differences, num_intervals=1)
    assert (interval.low, interval.high) == pytest.approx((-2.4598858, -0.7001142))


def test_equivalence_is_an_interval_of_90_percent_within_the_margin() -> None:
    """Schuirmann 1987: p is below 5 % just where the 90 % interval lies inside of the margin."""
    differences = [0.2, -0.1, 0.4, 0.3, -0.2, 0.1, 0.0, 0.2]
    mean, deviation = np.mean(differences), np.std(differences, ddof=1)
    reach = mean + 1.894578605 * deviation / 8**0.5  # t(0.95, 7), from a table
    assert p_of_equivalence(differences, reach) == pytest.approx(0.05, abs=1e-6)
    mirrored = [-x for x in differences]
    assert p_of_equivalence(mirrored, reach) == pytest.approx(0.05, abs=1e-6)
    assert p_of_equivalence(differences, 1.01 * reach) < 0.05 < p_of_equivalence(differences, 0.1)
    assert p_of_equivalence([0.1, 0.1, 0.1], 1) == 1


def test_sign_flips_on_darwins_maize() -> None:
    """Fisher 1935, section 21: of 32,768 choices of signs 1,726 are as extreme, p = 0.0527."""
    eighths = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert p_of_sign_flips([x / 8 for x in eighths]) == pytest.approx(1726 / 32768, abs=1e-12)


@pytest.mark.parametrize("size", [1, 2, 7, 12])
def test_sign_flips_by_trying_them_all(size: int) -> None:
    numbers = np.random.default_rng(size).integers(-40, 60, size)
    sums = [
        abs(sum(s * n for s, n in zip(signs, numbers, strict=True)))
        for signs in product((1, -1), repeat=size)
    ]
    expected = np.mean([one >= abs(sum(numbers)) for one in sums])
    assert p_of_sign_flips([n * 1e-4 for n in numbers]) == expected


def test_intervals_that_hold_at_once() -> None:
    """Five intervals of 99 % hold at once in 95 % of the cases; t(0.995, 2) = 9.924840."""
    interval = mean_interval([1.0, 2.0, 3.0], num_intervals=5)
    assert (interval.low, interval.high) == pytest.approx(
        (2 - 9.924843 / 3**0.5, 2 + 9.924843 / 3**0.5)
    )


def test_equal_differences_show_nothing() -> None:
    for differences in ([0.0, 0.0, 0.0], [0.1, 0.1, 0.1]):
        assert p_of_mean_difference(differences) == 1
        assert mean_interval(differences, num_intervals=1) is None
