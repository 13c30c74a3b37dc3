"""Intervals and tests of the report, most of them from statsmodels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

LEVEL = 0.05  # of each family of tests; intervals cover 1 - LEVEL


class Interval(NamedTuple):
    """A confidence interval; the function that returns it says what it covers."""

    low: float
    high: float


def proportion_interval(count: int, total: int) -> Interval:
    """Return the exact 95 % interval of a proportion (Clopper and Pearson 1934)."""
    return Interval(*map(float, proportion_confint(count, total, LEVEL, method="beta")))


def mean_interval(values: list[float], num_intervals: int) -> Interval | None:
    """Return Student's interval of the mean of two or more ``values``.

    It is one of ``num_intervals`` that hold all at once with 95 % (Bonferroni). None if all
    values are equal: accuracies come in steps, and a few equal ones leave their spread unknown.
    """
    if np.ptp(values) == 0:
        return None
    return Interval(*map(float, DescrStatsW(values).tconfint_mean(LEVEL / num_intervals)))


def p_of_mean_difference(differences: list[float]) -> float:
    """Return the p-value of Student's paired test that the mean of ``differences`` is 0.

    It is 1 if all are equal: their spread, and so what they show, is then unknown.
    """
    if np.ptp(differences) == 0:
        return 1.0
    return float(DescrStatsW(differences).ttest_mean()[1])


def p_of_equivalence(differences: list[float], margin: float) -> float:
    """Return the p-value of two one-sided tests (Schuirmann 1987), on paired ``differences``.

    The hypothesis is that their mean is ``margin`` or further from 0; if that is unlikely, the two
    are equal within the margin. It is 1 if all differences are equal: their spread is then unknown.
    """
    if np.ptp(differences) == 0:
        return 1.0
    return float(DescrStatsW(differences).ttost_mean(-margin, margin)[0])


def p_of_sign_flips(differences: list[float]) -> float:
    """Return the p-value of the exact sign-flip test (Fisher 1935) of paired ``differences``.

    It is the share of all 2^n choices of signs whose sum is as far from 0 as theirs, or further.
    Exact to nine decimals, and quick up to 40 differences: the sums of one half of the
    differences are sorted, and each sum of the other half finds its place among them.
    """
    # Integers, so that equal sums are equal.
    numbers = np.rint(np.asarray(differences) * 1e9).astype(np.int64)
    seen = abs(int(numbers.sum()))
    if seen == 0:
        return 1.0
    some, others = _signed_sums(numbers[::2]), np.sort(_signed_sums(numbers[1::2]))
    as_far_up = len(others) - np.searchsorted(others, seen - some, side="left")
    return 2 * int(as_far_up.sum()) / 2 ** len(numbers)


def _signed_sums(numbers: np.ndarray) -> np.ndarray:
    """Return the sums of ``numbers`` with all choices of their signs."""
    sums = np.zeros(1, dtype=np.int64)
    for number in numbers:
        sums = np.concatenate([sums - number, sums + number])
    return sums


def correct_for_number(p_values: list[float]) -> list[float]:
    """Return ``p_values`` corrected for their number (Holm 1979).

    statsmodels would compute the same, but collects all garbage at each call: half a second.
    """
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    factors = np.arange(len(p_values), 0, -1)
    corrected[order] = np.maximum.accumulate(np.take(p_values, order) * factors).clip(max=1)
    return corrected.tolist()


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], num_draws: int = 10_000
) -> Interval:
    """Return the 95 % interval of the ratio of two means, of values that belong together in pairs.

    By the percentiles of a bootstrap over the pairs (Efron and Tibshirani 1993, chapter 13).
    """
    pairs = np.array([numerators, denominators])
    draws = np.random.default_rng(0).integers(pairs.shape[1], size=(num_draws, pairs.shape[1]))
    ratios = np.divide(*pairs[:, draws].mean(axis=2))
    return Interval(*map(float, np.quantile(ratios, [LEVEL / 2, 1 - LEVEL / 2])))
