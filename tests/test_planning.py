"""The number of seeds that is planned for a study keeps its power."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from stages.analysis.inference import LEVEL
from stages.analysis.planning import LEAST_SEEDS, POWER, bound_of_spread, plan_seeds


def test_the_bound_of_a_spread_by_a_table() -> None:
    """The 20 % quantile of chi-squared with 4 degrees of freedom is 1.649."""
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert bound_of_spread(values) == pytest.approx(math.sqrt(10 / 1.649), rel=1e-3)


def test_a_plan_has_enough_seeds_for_the_exact_test() -> None:
    """2 of the 2^12 choices of signs are as extreme as all equal: p = 0.0005."""
    assert plan_seeds([0.0, 0.001, 0.0, 0.001, 0.0], 1.0, 3) == LEAST_SEEDS
    assert 2 / 2**LEAST_SEEDS < 0.0005
    assert plan_seeds([0.2] * 5, 0.1, 3) == LEAST_SEEDS


def test_the_plan_keeps_its_power() -> None:
    """2,000 studies with the smallest effect: after each of 200 pilots of five, ten as planned."""
    generator = np.random.default_rng(0)
    smallest, num_tests, found, plans = 0.7, 6, 0, set()
    for _ in range(200):
        count = plan_seeds(generator.normal(0, 1, 5).tolist(), smallest, num_tests)
        differences = generator.normal(smallest, 1, (10, count))
        found += int((ttest_1samp(differences, 0, axis=1).pvalue < LEVEL / num_tests).sum())
        plans.add(count)
    assert found / 2000 >= POWER
    assert len(plans) > 5
