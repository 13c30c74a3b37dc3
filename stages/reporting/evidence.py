"""What the results show, in numbers: comparisons of the models, pair by pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

from stages.reporting.inference import (
    LEVEL,
    Interval,
    correct_for_number,
    count_needed_images,
    count_needed_seeds,
    mean_interval,
    p_of_disagreements,
    p_of_equivalence,
    p_of_mean_difference,
    p_of_sign_flips,
)
from stages.reporting.mistakes import Guesses
from stages.reporting.results import Results
from stages.reporting.seeds import Seeds


@dataclass(frozen=True)
class Comparison:
    """Two models by one quantity: the p-value is corrected for the number of pairs (Holm)."""

    first: str
    second: str
    difference: float  # first minus second
    # Of the difference, if there are several seeds; it holds for all pairs at once.
    interval: Interval | None
    p_value: float
    needed: int | None  # seeds or images that would show a difference of this size
    # With several seeds only, corrected like p_value: of two one-sided tests, and of sign flips
    # if there are enough seeds for them to show any difference.
    p_equivalence: float = 1.0
    p_sign_flips: float | None = None

    @property
    def is_shown(self) -> bool:
        """Whether the difference is more than chance explains."""
        return self.p_value < LEVEL

    @property
    def is_equal(self) -> bool:
        """Whether the difference is shown to be smaller than the margin of equivalence."""
        return self.p_equivalence < LEVEL

    @property
    def is_disputed(self) -> bool:
        """Whether the sign flips disagree with Student's test."""
        return self.p_sign_flips is not None and (self.p_sign_flips < LEVEL) != self.is_shown


@dataclass(frozen=True)
class Evidence:
    """The comparisons of the models that learned, and what they rest on."""

    unit: str  # what is counted: "seeds" or "images"
    basis: str  # a phrase: "over 5 seeds each" or "on the same 10,000 test images, one run each"
    test_accuracy: dict[str, float]  # by model; only of models that learned
    accuracy_gap: dict[str, float]
    by_accuracy: list[Comparison]
    by_gap: list[Comparison]  # empty if there is one run of each model
    margin: float = 0.0  # a fraction: models that differ by less count as equal
    num_seeds: int = 0

    @property
    def disagreements(self) -> list[Comparison]:
        """The pairs on which the sign flips disagree with Student's test."""
        return [x for x in self.by_accuracy if x.is_disputed]

    @property
    def can_flips_show(self) -> bool:
        """Whether there are enough seeds for sign flips to show any difference at all."""
        return can_flips_show(len(self.by_accuracy), self.num_seeds)


def can_flips_show(num_comparisons: int, num_seeds: int) -> bool:
    """Say whether sign flips of this many seeds can show any of this many differences."""
    return num_comparisons * 2 / 2**num_seeds < LEVEL


def weigh(results: Results, seeds: Seeds | None, models: Sequence[str], margin: float) -> Evidence:
    """Compare ``models`` over several seeds if there are any, otherwise by the images of one run.

    ``margin`` is the fraction within which they count as equal.
    """
    if seeds is None:
        return Evidence(
            unit="images",
            basis=f"on the same {len(results.test):,} test images, one run each",
            test_accuracy={m: results.metrics[m].test_accuracy for m in models},
            accuracy_gap={m: results.metrics[m].accuracy_gap for m in models},
            by_accuracy=compare_by_images({m: results.guesses[m] for m in models}),
            by_gap=[],
        )
    return Evidence(
        unit="seeds",
        basis=f"over {len(seeds.seeds)} seeds each",
        test_accuracy={m: mean(seeds.test_accuracy[m]) for m in models},
        accuracy_gap={m: mean(seeds.accuracy_gap[m]) for m in models},
        by_accuracy=compare_by_seeds({m: seeds.test_accuracy[m] for m in models}, margin),
        by_gap=compare_by_seeds({m: seeds.accuracy_gap[m] for m in models}, margin),
        margin=margin,
        num_seeds=len(seeds.seeds),
    )


def compare_by_images(guesses: Mapping[str, Guesses]) -> list[Comparison]:
    """Compare accuracies pair by pair on the same images (McNemar's exact test)."""
    pairs = list(combinations(guesses, 2))
    is_right = {model: of_model.is_right for model, of_model in guesses.items()}
    alone = [
        (int((is_right[a] & ~is_right[b]).sum()), int((is_right[b] & ~is_right[a]).sum()))
        for a, b in pairs
    ]
    p_values = correct_for_number([p_of_disagreements(*counts) for counts in alone])
    return [
        _compare_images(pair, counts, len(is_right[pair[0]]), p_value, len(pairs))
        for pair, counts, p_value in zip(pairs, alone, p_values, strict=True)
    ]


def _compare_images(
    pair: tuple[str, str], alone: tuple[int, int], total: int, p_value: float, num_pairs: int
) -> Comparison:
    """Compare two models of which each gets some of ``total`` images right ``alone``."""
    return Comparison(
        *pair,
        difference=(alone[0] - alone[1]) / total,
        interval=None,
        p_value=p_value,
        needed=count_needed_images(*alone, total, num_pairs),
    )


def compare_by_seeds(values: Mapping[str, list[float]], margin: float) -> list[Comparison]:
    """Compare means pair by pair; runs with the same seed are paired.

    Args:
        values: fractions by model, one for each seed, in the same order.
        margin: the fraction within which two models count as equal.
    """
    return compare_family(
        [
            (first, second, list(zip(values[first], values[second], strict=True)))
            for first, second in combinations(values, 2)
        ],
        margin,
    )


def compare_family(
    pairs: Sequence[tuple[str, str, Sequence[tuple[float, float]]]], margin: float
) -> list[Comparison]:
    """Compare the means of each pair; the tests of all ``pairs`` are corrected as one family.

    Args:
        pairs: the names of a first and a second, and the fractions of both for each seed.
        margin: the fraction within which a first and a second count as equal.
    """
    # Rounded, so that no test is misled by the last bits of equal numbers.
    differences = [[round(a - b, 9) for a, b in values] for _, _, values in pairs]
    p_values, of_equivalence, of_sign_flips = (
        correct_for_number([test(x) for x in differences])
        for test in (p_of_mean_difference, lambda x: p_of_equivalence(x, margin), p_of_sign_flips)
    )
    return [
        Comparison(
            first,
            second,
            difference=mean(x),
            interval=_clip(mean_interval(x, len(pairs))),
            p_value=p_value,
            needed=count_needed_seeds(x, len(pairs)),
            p_equivalence=p_equivalence,
            p_sign_flips=p_sign_flips if can_flips_show(len(pairs), len(x)) else None,
        )
        for (first, second, _), x, p_value, p_equivalence, p_sign_flips in zip(
            pairs, differences, p_values, of_equivalence, of_sign_flips, strict=True
        )
    ]


def _clip(interval: Interval | None) -> Interval | None:
    """Leave out differences above 100 points, which Student's interval may reach but no two can."""
    return interval and Interval(max(interval.low, -1.0), min(interval.high, 1.0))
