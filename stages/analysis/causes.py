"""Why the models differ: what the interventions in their networks show."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import mean

from scipy.stats import spearmanr

from stages.analysis.comparison import Comparison, Pair, Shift, compare_by_seeds
from stages.analysis.inference import Interval, mean_interval, ratio_interval
from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.evaluation.shifts import Case as ShiftCase
from stages.evaluation.shifts import list_sets
from stages.records.causes import (
    BLENDED_IMAGES,
    BLENDED_SHIFTS,
    CLEAN,
    NOISE,
    SHIFTS,
    Case,
    Distance,
    Row,
    case_of,
    list_cases,
    list_on,
)
from stages.records.results import Cell

_LEAST_LOSS = 0.05  # a fraction: of a smaller loss, a share says little
_NEAR = 0.01  # a fraction


@dataclass(frozen=True)
class Share:
    """Which share of a loss an intervention restores: a ratio of means over the seeds."""

    value: float
    interval: Interval  # by a bootstrap over the seeds


@dataclass(frozen=True)
class Effect:
    """What an intervention does, compared with the same networks without it."""

    case: Case
    comparison: Comparison  # first: with it; second: without
    restored: Share | None  # None where less than five points are lost


@dataclass(frozen=True)
class Rank:
    """How far statistics lie before a layer, and the accuracy lost: their rank correlation."""

    model: str
    layer: int
    mean: float  # of Spearman's coefficients over all shifts and severities, network by network
    interval: Interval | None


@dataclass(frozen=True)
class Causes:
    """All that the interventions show; accuracies are fractions, in the order of ``seeds``.

    Each list of effects is one family of tests.
    """

    seeds: list[int]
    layers: list[int]  # the numbers of the normalizations
    prior: float  # so many images the fixed statistics count as where they are blended
    rows: Mapping[Case, list[Row]]  # by seed
    cures: list[Effect]  # of bn: statistics of the test images in some layers
    breaks: list[Effect]  # of gn and ln: statistics of clean images in some layers
    changes: list[Effect]  # of what some layers are given, in all models
    blends: list[Effect]  # of bn: against the statistics of as many images alone
    ranks: list[Rank]
    offsets: Mapping[tuple[str, int], list[float]]  # under noise, all fixed: by model and layer

    def accuracies(self, case: Case) -> list[float]:
        """Return the accuracies by seed."""
        return [row.accuracy for row in self.rows[case]]

    def as_trained(self, model: str, shift: Shift) -> Case:
        """Return the case without any intervention."""
        return as_trained(model, shift, self.layers)

    def two_by_two(self, model: str, shift: Shift) -> dict[tuple[bool, bool], Case]:
        """Return the cases by whether layer 1, and whether the others, have fresh statistics."""
        return {
            (first, others): case_of(
                model, shift, self.layers[:1] * first + self.layers[1:] * others
            )
            for first in (True, False)
            for others in (True, False)
        }

    @property
    def effects(self) -> list[Effect]:
        """The effects of all interventions."""
        return [*self.cures, *self.breaks, *self.changes, *self.blends]

    def find(self, case: Case) -> Effect:
        """Return the effect of ``case``."""
        return next(effect for effect in self.effects if effect.case == case)

    def enough(self, shift: Shift) -> int:
        """Return how many images blended statistics need, to come within a point of the best."""
        by_size = {
            images: mean(self.accuracies(self.blended(shift, images))) for images in BLENDED_IMAGES
        }
        return min(n for n, share in by_size.items() if share >= max(by_size.values()) - _NEAR)

    def blended(self, shift: Shift, images: int) -> Case:
        """Return the case of bn with statistics of ``images`` images, blended with the running."""
        return case_of("bn", shift, self.layers, images=images, prior=self.prior)


def choose_prior(rows: Iterable[Row]) -> float:
    """Return how many images fixed statistics count as, by the accuracy on training images.

    The mean over the networks, shifts and numbers of images on record; of equals, the smallest.
    """
    accuracies: dict[float, list[float]] = {}
    for row in rows:
        if row.split == "train":
            accuracies.setdefault(row.prior, []).append(row.accuracy)
    return max(sorted(accuracies), key=lambda prior: mean(accuracies[prior]))


def find_causes(
    params: Params, rows: Sequence[Row], distances: Sequence[Distance], cells: Mapping[str, Cell]
) -> Causes | None:
    """Judge the record of interventions; None before it is complete for two seeds.

    ``cells`` hold the accuracies of the same networks on all shifts, by model.
    """
    recipes = {model: Recipe.of(model, params).digest for model in MODELS}
    rows = [row for row in rows if row.recipe == recipes[row.model]]
    distances = [one for one in distances if one.recipe == recipes[one.model]]
    if not any(row.split == "train" for row in rows):
        return None
    layers, prior = list(range(1, 7 + params.network.extra_blocks)), choose_prior(rows)
    by_case: dict[Case, dict[int, Row]] = {}
    for row in rows:
        by_case.setdefault(row.case, {})[row.seed] = row
    wanted = [case for model in MODELS for case in list_cases(model, len(layers), prior)]
    seeds = sorted(set.intersection(*(set(by_case.get(case, {})) for case in wanted)))
    if len(seeds) < 2:
        return None
    complete = {case: [by_case[case][seed] for seed in seeds] for case in wanted}
    cures, breaks, changes = _sort(layers)
    blends = [
        case_of("bn", shift, layers, images=images, prior=prior)
        for shift in BLENDED_SHIFTS
        for images in BLENDED_IMAGES
    ]
    return Causes(
        seeds=seeds,
        layers=layers,
        prior=prior,
        rows=complete,
        cures=_compare(cures, complete, layers),
        breaks=_compare(breaks, complete, layers),
        changes=_compare(changes, complete, layers),
        blends=_compare(blends, complete, layers),
        ranks=list(_rank(distances, cells, list_sets(params.shifts), layers)),
        offsets={
            (model, layer): [
                one.mean
                for one in sorted(distances, key=lambda one: one.seed)
                if (one.model, one.layer, one.fresh) == (model, layer, "")
                and (one.shift, one.severity) == NOISE
            ]
            for model in MODELS
            for layer in layers
        },
    )


def _sort(layers: list[int]) -> tuple[list[Case], list[Case], list[Case]]:
    """Return the cases with fresh statistics for bn, fixed ones for the others, and changes."""
    cases = [
        case
        for model in MODELS
        for shift in SHIFTS
        for case in list_on(model, shift, layers)
        if case != as_trained(model, shift, layers)
    ]
    plain = [case for case in cases if not case.change]
    return (
        [case for case in plain if case.model == "bn"],
        [case for case in plain if case.model != "bn"],
        [case for case in cases if case.change],
    )


def as_trained(model: str, shift: Shift, layers: list[int]) -> Case:
    """Return the case without any intervention."""
    return case_of(model, shift, [] if model == "bn" else layers)


def _compare(
    cases: Sequence[Case], rows: Mapping[Case, list[Row]], layers: list[int]
) -> list[Effect]:
    """Compare each of ``cases`` with the case without what is special to it; one family."""
    values = {case: {row.seed: row.accuracy for row in of_case} for case, of_case in rows.items()}
    pairs = [
        Pair(
            "with",
            "without",
            values[case],
            values[_without(case, layers)],
            shift=(case.shift, case.severity),
        )
        for case in cases
    ]
    return [
        Effect(case, x, _restored(pair, values[_whole(case, layers)]))
        for case, pair, x in zip(cases, pairs, compare_by_seeds(pairs, margin=0), strict=True)
    ]


def _without(case: Case, layers: list[int]) -> Case:
    """Return the same without its change, without blending, or else as trained."""
    if case.change:
        return replace(case, change="", changed="")
    if case.prior:
        return replace(case, prior=0)
    return as_trained(case.model, (case.shift, case.severity), layers)


def _whole(case: Case, layers: list[int]) -> Case:
    """Return the case that has lost nothing: before another intervention, or on clean images."""
    usual = as_trained(case.model, (case.shift, case.severity), layers)
    return as_trained(case.model, CLEAN, layers) if _without(case, layers) == usual else usual


def _restored(pair: Pair, whole: Mapping[int, float]) -> Share | None:
    """Return which share of the loss from ``whole``, by seed, the first of ``pair`` restores."""
    gains = [x - y for x, y in pair.by_seed]
    losses = [whole[seed] - lost for seed, lost in sorted(pair.of_second.items())]
    if mean(losses) < _LEAST_LOSS:
        return None
    return Share(mean(gains) / mean(losses), ratio_interval(gains, losses))


def _rank(
    distances: Sequence[Distance],
    cells: Mapping[str, Cell],
    shifts: Sequence[Shift],
    layers: Sequence[int],
) -> Iterator[Rank]:
    """Yield the rank correlations of models as trained, for the seeds that have all shifts."""
    lost = {
        (model, *shift): cells[model].accuracy_on(ShiftCase(model, model, None, *shift))
        for model in MODELS
        for shift in shifts
    }
    lengths = {
        (one.model, one.layer, one.seed, one.shift, one.severity): math.hypot(
            one.mean, one.deviation
        )
        for one in distances
        if one.fresh == as_trained(one.model, CLEAN, list(layers)).means
    }
    for model, layer in product(MODELS, layers):
        coefficients = []
        for seed in sorted({one.seed for one in distances if one.model == model}):
            pairs = [
                (lengths.get((model, layer, seed, *shift)), lost[model, *shift].get(seed))
                for shift in shifts
            ]
            if all(None not in pair for pair in pairs) and len({loss for _, loss in pairs}) > 1:
                coefficients.append(-float(spearmanr(pairs).statistic))
        if len(coefficients) > 1:
            yield Rank(model, layer, mean(coefficients), mean_interval(coefficients, 1))
