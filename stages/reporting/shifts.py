"""How the models differ on shifted test images: the tests, and what may be said of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from pydantic import TypeAdapter

from stages.core.params import MODELS, Params, ShiftParams
from stages.core.recipe import Recipe
from stages.evaluation.shifts import CLEAN, Case, SeededRow, list_cases, list_sets, read_rows
from stages.records.declaration import RECORDS
from stages.reporting.claims import (
    format_ends,
    format_p,
    format_points,
    format_share,
    in_order,
)
from stages.reporting.evidence import Comparison, compare_family
from stages.reporting.inference import (
    Interval,
    correct_for_number,
    matched_interval,
    mean_interval,
    p_of_disagreements,
)
from stages.reporting.words import SHIFTS

SEEDS_PATH = RECORDS / "seeds.shifts.csv"
BATCH = "bn-batch"  # the reading with the statistics of the test batch
_PAIRS = ("bn", "gn"), ("bn", "ln"), ("gn", "ln"), (BATCH, "bn")
_NEAR = 0.01  # a fraction: batches are large enough once all accuracies are as near as this

Pair = tuple[Case, Case]
BySeed = Mapping[Case, Sequence[float]]  # accuracies in the same order of seeds


@dataclass(frozen=True)
class Effect:
    """Two readings on the images of one shift: which is better there, and how sure is that."""

    shift: str
    severity: float
    accuracy: dict[str, float]  # of both readings
    comparison: Comparison

    @property
    def place(self) -> str:
        """The shift and its severity, within a sentence."""
        return SHIFTS[self.shift].named.format(self.severity)

    @property
    def subject(self) -> str:
        """The same at the beginning of a sentence."""
        return self.place[0].upper() + self.place[1:]

    @property
    def images(self) -> str:
        """What the shifted images are, in a few words."""
        words = SHIFTS[self.shift]
        is_below = self.severity < words.none and bool(words.images_below)
        return words.images_below if is_below else words.images

    @property
    def text(self) -> str:
        """Which reading is better, by how much, and how sure that is."""
        ahead, behind = in_order(self.comparison)
        both = (
            f"{ahead} {_percent(self.accuracy[ahead])}, {behind} {_percent(self.accuracy[behind])}"
        )
        size = format_points(abs(self.comparison.difference), 1)
        if self.comparison.is_shown:
            return f"{both}: {size} ({self.support})"
        return f"{both}: no difference shown ({size}, {self.support})"

    @property
    def support(self) -> str:
        """The interval of the difference, if there is one, and its p-value."""
        ends, p = format_ends(self.comparison, 1), format_p(self.comparison.p_value)
        return f"95 % interval {ends}, {p}" if ends else p


@dataclass(frozen=True)
class ShiftFindings:
    """What the report says and draws of shifted test images."""

    params: ShiftParams
    accuracy: dict[Case, float]  # the mean, where there are several seeds
    intervals: dict[Case, Interval]  # of each mean, on its own; none for one network
    num_seeds: int  # 1: one network of each model, compared image by image
    num_tests: int  # that are corrected as one family
    compared: list[Effect]  # of all pairs of readings, at all shifts and severities
    effects: list[Effect]  # of bn, gn and ln, the largest of each shift, the largest first
    gain: Effect | None  # the largest of bn with the statistics of the test batch
    loss: Effect | None  # likewise
    of_batches: str  # how many images these need, "" if that was not tried
    enough: int | None  # that number, if any of those tried is enough

    @property
    def exception(self) -> str:
        """What the answer for images like the training images leaves out; "" if nothing."""
        if not self.effects or not self.effects[0].comparison.is_shown:
            return ""
        largest = self.effects[0]
        return (
            "That is about test images like the training images. On others the networks differ, "
            f"most of all with {largest.place}: {largest.text}."
        )

    @property
    def definitions(self) -> list[str]:
        """What each shift does, in one sentence each."""
        shifts = dict.fromkeys(shift for shift, _ in list_sets(self.params))
        return [SHIFTS[shift].what for shift in shifts if shift in SHIFTS]


def find_shifts(
    params: Params,
    predicted: Mapping[Case, torch.Tensor],
    labels: torch.Tensor,
    learned: Sequence[str],
) -> ShiftFindings:
    """Compare the models that ``learned`` on shifted images, over several seeds if recorded.

    Otherwise compare one network of each, by the digits [N] ``predicted`` for N images of these
    ``labels``.

    Raises:
        PipelineError: the record of seeds is damaged.
    """
    if by_seed := read_seeds(params):
        return find_shifts_by_seed(params, by_seed, learned)
    pairs = _list_pairs(list(predicted), learned)
    right = {case: digits == labels for case, digits in predicted.items()}
    accuracy = {case: float(of_case.double().mean()) for case, of_case in right.items()}
    return _find(params.shifts, accuracy, {}, 1, pairs, compare_by_images(pairs, right))


def find_shifts_by_seed(
    params: Params, by_seed: BySeed, learned: Sequence[str] = tuple(MODELS)
) -> ShiftFindings:
    """Compare the models that ``learned`` on shifted images, over several seeds."""
    pairs = _list_pairs(list(by_seed), learned)
    accuracy = {case: mean(values) for case, values in by_seed.items()}
    num_seeds = len(next(iter(by_seed.values())))
    comparisons = compare_by_seeds(pairs, by_seed, params.report.equivalence_margin / 100)
    known = {case: mean_interval(list(values), 1) for case, values in by_seed.items()}
    intervals = {case: interval for case, interval in known.items() if interval is not None}
    return _find(params.shifts, accuracy, intervals, num_seeds, pairs, comparisons)


def _find(
    params: ShiftParams,
    accuracy: dict[Case, float],
    intervals: dict[Case, Interval],
    num_seeds: int,
    pairs: Sequence[Pair],
    comparisons: Sequence[Comparison],
) -> ShiftFindings:
    effects = [
        Effect(
            first.shift,
            first.severity,
            {case.reading: accuracy[case] for case in (first, second)},
            comparison,
        )
        for (first, second), comparison in zip(pairs, comparisons, strict=True)
    ]
    by_statistics = [x for x in effects if x.comparison.first == BATCH and x.comparison.is_shown]
    has_bn = any(BATCH in effect.accuracy for effect in effects)
    return ShiftFindings(
        params=params,
        accuracy=accuracy,
        intervals=intervals,
        num_seeds=num_seeds,
        num_tests=len(pairs),
        compared=effects,
        effects=_largest_of_each_shift([x for x in effects if x.comparison.first != BATCH]),
        gain=max(
            (x for x in by_statistics if x.comparison.difference > 0), key=_size, default=None
        ),
        loss=max(
            (x for x in by_statistics if x.comparison.difference < 0), key=_size, default=None
        ),
        of_batches=_tell_of_batches(accuracy) if has_bn else "",
        enough=_find_enough(accuracy) if has_bn else None,
    )


def _list_pairs(cases: Sequence[Case], learned: Sequence[str]) -> list[Pair]:
    """Return the pairs of readings that are compared on the images of each shift."""
    by_set: dict[tuple[str, float], dict[str, Case]] = {}
    for case in cases:  # of several batch sizes, the one used for all shifts comes first
        if case.model in learned and (case.shift, case.severity) != CLEAN:
            by_set.setdefault((case.shift, case.severity), {}).setdefault(case.reading, case)
    return [
        (of_set[first], of_set[second])
        for of_set in by_set.values()
        for first, second in _PAIRS
        if first in of_set and second in of_set
    ]


def compare_by_images(
    pairs: Sequence[Pair], right: Mapping[Case, torch.Tensor]
) -> list[Comparison]:
    """Compare both readings of each pair by which of N images they get ``right``, bool [N].

    McNemar's exact test, with all tests corrected as one family; the intervals hold all at once.
    """
    alone = [
        (int((right[a] & ~right[b]).sum()), int((right[b] & ~right[a]).sum())) for a, b in pairs
    ]
    totals = [len(right[first]) for first, _ in pairs]
    p_values = correct_for_number([p_of_disagreements(*counts) for counts in alone])
    return [
        Comparison(
            first.reading,
            second.reading,
            difference=(counts[0] - counts[1]) / total,
            interval=matched_interval(*counts, total, len(pairs)),
            p_value=p_value,
            needed=None,
        )
        for (first, second), counts, total, p_value in zip(
            pairs, alone, totals, p_values, strict=True
        )
    ]


def compare_by_seeds(pairs: Sequence[Pair], by_seed: BySeed, margin: float) -> list[Comparison]:
    """Compare both readings of each pair over the same seeds (Student's paired test)."""
    family = [
        (a.reading, b.reading, list(zip(by_seed[a], by_seed[b], strict=True))) for a, b in pairs
    ]
    return compare_family(family, margin)


def read_seeds(params: Params) -> BySeed | None:
    """Read the accuracies of networks of several seeds, trained by the recipes of ``params``.

    None if fewer than two seeds have all shifts of all models.

    Raises:
        PipelineError: the record is damaged.
    """
    if not SEEDS_PATH.exists():
        return None
    remedy = f"restore it with `git checkout {SEEDS_PATH}`, or remove it and run `make seeds`"
    rows = read_rows(SEEDS_PATH, remedy, TypeAdapter(list[SeededRow]))
    digests = {model: Recipe.of(model, params).digest for model in MODELS}
    return group_by_seed(rows, digests, params.shifts)


def group_by_seed(
    rows: Iterable[SeededRow], digests: Mapping[str, str], params: ShiftParams
) -> BySeed | None:
    """Group the accuracies of the recipes with these ``digests``, by model, as ``BySeed``.

    None if fewer than two seeds have all shifts of all models.
    """
    found: dict[int, dict[Case, float]] = {}
    for row in rows:
        if row.recipe == digests.get(row.model):
            found.setdefault(row.seed, {})[row.case] = row.accuracy
    cases = [case for model in digests for case in list_cases(model, params)]
    complete = [found[seed] for seed in sorted(found) if found[seed].keys() >= set(cases)]
    if len(complete) < 2:
        return None
    return {case: [accuracies[case] for accuracies in complete] for case in cases}


def _largest_of_each_shift(effects: Sequence[Effect]) -> list[Effect]:
    """Return the largest difference shown for each shift, or if none is, the largest seen."""
    largest: dict[str, Effect] = {}
    for effect in sorted(effects, key=lambda x: (x.comparison.is_shown, _size(x)), reverse=True):
        largest.setdefault(effect.shift, effect)
    return list(largest.values())


def _size(effect: Effect) -> float:
    return abs(effect.comparison.difference)


def _find_enough(accuracy: Mapping[Case, float]) -> int | None:
    """Return how many clean images at a time bn needs to do without its running statistics."""
    by_size, running = _read_clean(accuracy)
    near = {size: abs(share - running) <= _NEAR for size, share in by_size.items()}
    return next(
        (size for size in by_size if all(near[other] for other in by_size if other >= size)), None
    )


def _tell_of_batches(accuracy: Mapping[Case, float]) -> str:
    """Say how accurate bn is with several numbers of clean images, and which are enough."""
    by_size, running = _read_clean(accuracy)
    if len(by_size) < 2:
        return ""
    sizes = list(by_size)
    first, *others = (f"{_percent(by_size[size])} with {size}" for size in sizes)
    told = ", ".join([f"{first} {'image' if sizes[0] == 1 else 'images'} at a time", *others])
    enough = _find_enough(accuracy)
    until = (
        f"from {enough} on it stays within {format_points(_NEAR, 0)[:-1]} of the "
        f"{_percent(running)} with running averages"
        if enough
        else f"none of them comes within a point of the {_percent(running)} with running averages"
    )
    return f"On clean images bn-batch gets {told}; {until}."


def _read_clean(accuracy: Mapping[Case, float]) -> tuple[dict[int, float], float]:
    """Return the accuracies on clean images by size of the test batch, and with running ones."""
    clean = {case: x for case, x in accuracy.items() if (case.shift, case.severity) == CLEAN}
    by_size = {case.batch_size: x for case, x in clean.items() if case.batch_size is not None}
    (running,) = (x for case, x in clean.items() if case.reading == "bn")
    return dict(sorted(by_size.items())), running


def _percent(share: float) -> str:
    return format_share(share, 1)
