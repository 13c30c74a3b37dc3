"""Two that are compared: how far apart they are, how sure that is, and the verdict on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import mean

from stages.analysis.inference import (
    LEVEL,
    Interval,
    correct_for_number,
    mean_interval,
    p_of_equivalence,
    p_of_mean_difference,
    p_of_sign_flips,
)
from stages.evaluation.shifts import CLEAN, Shift


class Verdict(StrEnum):
    """What a comparison shows."""

    DIFFER = "differ"
    EQUAL = "equal"  # within the margin
    OPEN = "not settled"


@dataclass(frozen=True)
class Pair:
    """Two to compare, and their accuracies (fractions) by seed."""

    first: str
    second: str
    of_first: Mapping[int, float]
    of_second: Mapping[int, float]
    place: str = ""  # a value of what varies; "" if nothing does, or if it does not matter
    of: str = ""  # the model, if the two are values of what varies
    shift: Shift = CLEAN  # of the images
    both_diverged: bool = False  # with every seed

    @property
    def by_seed(self) -> list[tuple[float, float]]:
        """The accuracies of both, for each seed that both have."""
        seeds = sorted(self.of_first.keys() & self.of_second.keys())
        return [(self.of_first[seed], self.of_second[seed]) for seed in seeds]


@dataclass(frozen=True)
class Comparison:
    """A pair, compared; all its tests are corrected for the number of pairs (Holm)."""

    first: str
    second: str
    accuracies: tuple[float, float]  # of both: means over the seeds
    difference: float  # first minus second
    interval: Interval | None  # of the difference; it holds for all pairs at once
    p_value: float
    num_seeds: int
    p_equivalence: float  # of two one-sided tests
    p_sign_flips: float | None  # None: too few seeds for sign flips to show any difference
    place: str = ""
    of: str = ""
    shift: Shift = CLEAN
    both_diverged: bool = False  # with every seed; then nothing was tested

    @property
    def verdict(self) -> Verdict:
        """Whether the two differ, are equal within the margin, or neither is settled."""
        if self.differs:
            return Verdict.DIFFER
        return Verdict.EQUAL if self.is_within_margin else Verdict.OPEN

    @property
    def differs(self) -> bool:
        """Whether a difference is shown."""
        return self.p_value < LEVEL

    @property
    def is_within_margin(self) -> bool:
        """Whether the difference, if there is one, is shown to be smaller than the margin."""
        return self.p_equivalence < LEVEL

    @property
    def is_disputed(self) -> bool:
        """Whether the sign flips disagree with Student's test."""
        return self.p_sign_flips is not None and (self.p_sign_flips < LEVEL) != self.differs

    @property
    def order(self) -> tuple[str, str]:
        """The names of both, the better one first."""
        return (self.first, self.second) if self.difference > 0 else (self.second, self.first)

    @property
    def size(self) -> float:
        """The difference, whichever is better: a fraction."""
        return abs(self.difference)


def can_flips_show(num_comparisons: int, num_seeds: int) -> bool:
    """Say whether sign flips of this many seeds can show any of this many differences."""
    return num_comparisons * 2 / 2**num_seeds < LEVEL


def compare_by_seeds(pairs: Sequence[Pair], margin: float) -> list[Comparison]:
    """Compare the means of each pair with two seeds or more; all their tests are one family.

    Runs with the same seed are paired (Student's test). ``margin`` is the fraction within which
    two count as equal.
    """
    pairs = [pair for pair in pairs if len(pair.by_seed) >= 2]
    # Rounded, so that no test is misled by the last bits of equal numbers.
    differences = [
        [round(a - b, 9) for a, b in pair.by_seed] for pair in pairs if not pair.both_diverged
    ]
    num_tests = len(differences)
    tests = p_of_mean_difference, lambda x: p_of_equivalence(x, margin), p_of_sign_flips
    corrected = [correct_for_number([test(x) for x in differences]) for test in tests]
    tested = zip(differences, *corrected, strict=True)
    nothing = [0.0, 0.0], 1.0, 1.0, None
    return [
        _compare(pair, num_tests, *(nothing if pair.both_diverged else next(tested)))
        for pair in pairs
    ]


def _compare(
    pair: Pair,
    num_tests: int,
    differences: list[float],
    p_value: float,
    p_equivalence: float,
    p_sign_flips: float | None,
) -> Comparison:
    of_first, of_second = zip(*pair.by_seed, strict=True)
    return Comparison(
        pair.first,
        pair.second,
        accuracies=(mean(of_first), mean(of_second)),
        difference=mean(differences),
        interval=_clip(mean_interval(differences, num_tests)),
        p_value=p_value,
        num_seeds=len(pair.by_seed),
        p_equivalence=p_equivalence,
        p_sign_flips=p_sign_flips if can_flips_show(num_tests, len(differences)) else None,
        place=pair.place,
        of=pair.of,
        shift=pair.shift,
        both_diverged=pair.both_diverged,
    )


def _clip(interval: Interval | None) -> Interval | None:
    """Leave out differences above 100 points, which Student's interval may reach but no two can."""
    return interval and Interval(max(interval.low, -1.0), min(interval.high, 1.0))
