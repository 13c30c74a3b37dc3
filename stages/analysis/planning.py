"""How many seeds a study needs, planned before it is run."""

import bisect
from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2
from statsmodels.stats.power import TTestPower

from stages.analysis.inference import LEVEL

POWER = 0.8
PILOT_SEEDS = 5
LEAST_SEEDS = 12  # from which on the exact sign-flip test can show a difference in a large family
_BOUND = 0.8  # of the spread, which five seeds alone would understate as often as overstate


def plan_seeds(pilot: Sequence[float], smallest: float, num_tests: int) -> int:
    """Return how many paired seeds would show a mean difference of ``smallest``.

    With a power of 80 % at the strictest level that Holm's correction of ``num_tests`` tests asks
    for (Student's paired test). The spread is taken from the differences of a few ``pilot`` seeds:
    the upper end of its one-sided 80 % interval. At least ``LEAST_SEEDS``.

    Args:
        pilot: differences of the same two arms, one for each pilot seed; fractions.
        smallest: the smallest difference that matters; a fraction.
        num_tests: how many comparisons the study makes.
    """
    spread = bound_of_spread(pilot)
    if spread == 0:
        return LEAST_SEEDS
    power = TTestPower().power
    numbers, most = range(LEAST_SEEDS, 10**9), 10**8
    effect, level = smallest / spread, LEVEL / num_tests
    return numbers[
        bisect.bisect_left(numbers, POWER, hi=most, key=lambda n: power(effect, n, level))
    ]


def bound_of_spread(values: Sequence[float]) -> float:
    """Return the upper 80 % bound of the standard deviation of normal ``values``."""
    freedom = len(values) - 1
    return float(np.std(values, ddof=1) * np.sqrt(freedom / chi2.ppf(1 - _BOUND, freedom)))
