"""What the results show, in numbers: comparisons of the models, pair by pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

from stages.core.params import MODELS
from stages.reporting.inference import (
    LEVEL,
    Interval,
    correct_for_number,
    count_needed_images,
    count_needed_seeds,
    mean_interval,
    p_of_disagreements,
    p_of_mean_difference,
)
from stages.reporting.mistakes import Guesses
from stages.reporting.results import Results
from stages.reporting.studies import Seeds


@dataclass(frozen=True)
class Comparison:
    """Two models by one quantity: the p-value is corrected for the number of pairs (Holm)."""

    first: str
    second: str
    difference: float  # first minus second
    # Of the difference, where runs with several seeds give one; holds for all pairs at once.
    interval: Interval | None
    p_value: float
    needed: int | None  # seeds or images that would show a difference of this size

    @property
    def is_shown(self) -> bool:
        """Whether the difference is more than chance explains."""
        return self.p_value < LEVEL


@dataclass(frozen=True)
class Evidence:
    """The comparisons of the models that learned, and what they rest on."""

    unit: str  # "seeds" or "images": what a needed number counts
    basis: str  # a phrase: "over 5 seeds each" or "on the same 10,000 test images, one run each"
    test_accuracy: dict[str, float]  # by model; of no other models is there evidence
    accuracy_gap: dict[str, float]
    by_accuracy: list[Comparison]
    by_gap: list[Comparison]  # empty where there is one run of each model


def weigh(results: Results, seeds: Seeds | None, models: Sequence[str] = tuple(MODELS)) -> Evidence:
    """Compare ``models`` by several seeds where there are, else by the images of one run."""
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
        by_accuracy=compare_by_seeds({m: seeds.test_accuracy[m] for m in models}),
        by_gap=compare_by_seeds({m: seeds.accuracy_gap[m] for m in models}),
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


def compare_by_seeds(values: dict[str, list[float]]) -> list[Comparison]:
    """Compare means pair by pair; runs with the same seed are paired (Student's paired test).

    Args:
        values: by model, one for each seed, in the same order.
    """
    pairs = list(combinations(values, 2))
    differences = [
        # Rounded, so that no test is misled by the last bits of equal numbers.
        [round(a - b, 9) for a, b in zip(values[first], values[second], strict=True)]
        for first, second in pairs
    ]
    p_values = correct_for_number([p_of_mean_difference(x) for x in differences])
    return [
        Comparison(
            first,
            second,
            difference=mean(x),
            interval=mean_interval(x, len(pairs)),
            p_value=p_value,
            needed=count_needed_seeds(x, len(pairs)),
        )
        for (first, second), x, p_value in zip(pairs, differences, p_values, strict=True)
    ]
