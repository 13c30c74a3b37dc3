"""Why the models differ: what the interventions in their networks show."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import mean

from scipy.stats import spearmanr

from stages.analysis.comparison import Comparison, Pair, compare_by_seeds
from stages.analysis.inference import Interval, ratio_interval
from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.evaluation.shifts import CLEAN, Shift, list_sets
from stages.evaluation.shifts import Case as ShiftCase
from stages.records import causes as record
from stages.records.causes import Case, Distance, Row, case_of
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

    comparison: Comparison  # first: with it; second: without
    restored: Share | None  # None where less than five points are lost


@dataclass(frozen=True)
class Causes:
    """All that the interventions show; accuracies are fractions, in the order of ``seeds``."""

    seeds: list[int]
    layers: list[int]  # the numbers of the normalizations
    prior: float  # so many images the fixed statistics count as where they are blended
    rows: Mapping[Case, list[Row]]  # by seed
    effects: Mapping[Case, Effect]
    # By model and layer: how far the statistics before it lie from those of clean images, and the
    # accuracy lost. Spearman's coefficient over all shifts and severities, in the mean of networks.
    ranks: Mapping[tuple[str, int], float]
    offsets: Mapping[tuple[str, int], list[float]]  # under noise, all fixed: by model and layer

    def accuracies(self, case: Case) -> list[float]:
        """Return the accuracies by seed."""
        return [row.accuracy for row in self.rows[case]]

    def enough(self, shift: Shift) -> int:
        """Return how many images blended statistics need, to come within a point of the best."""
        by_size = {
            images: mean(self.accuracies(self.blended(shift, images)))
            for images in record.BLENDED_IMAGES
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
    offsets: dict[tuple[str, int], list[float]] = {}
    for one in distances:
        if (one.shift, one.severity) == record.NOISE and not one.fresh:
            offsets.setdefault((one.model, one.layer), []).append(one.mean)
    by_case: dict[Case, dict[int, Row]] = {}
    for row in rows:
        by_case.setdefault(row.case, {})[row.seed] = row
    wanted = [case for model in MODELS for case in record.list_cases(model, len(layers), prior)]
    seeds = sorted(set.intersection(*(set(by_case.get(case, {})) for case in wanted)))
    if len(seeds) < 2 or len(offsets) < len(MODELS) * len(layers):
        return None
    complete = {case: [by_case[case][seed] for seed in seeds] for case in wanted}
    effects: dict[Case, Effect] = {}
    for family in _list_families(wanted, layers):
        effects |= _compare(family, complete, layers)
    ranks = dict(_rank(distances, cells, list_sets(params.shifts), layers))
    return Causes(seeds, layers, prior, complete, effects, ranks, offsets)


def _list_families(cases: Sequence[Case], layers: list[int]) -> list[list[Case]]:
    """Return which of ``cases`` are compared: the tests of each list are one family.

    Fresh statistics in bn, fixed ones in gn and ln, changes, and blended statistics in bn.
    """
    of_layers = [
        case
        for model, shift in product(MODELS, record.SHIFTS)
        for case in record.list_on(model, shift, layers)
        if case != as_trained(model, shift, layers)
    ]
    plain = [case for case in of_layers if not case.change]
    return [
        [case for case in plain if case.model == "bn"],
        [case for case in plain if case.model != "bn"],
        [case for case in of_layers if case.change],
        [case for case in cases if case.prior],
    ]


def as_trained(model: str, shift: Shift, layers: list[int]) -> Case:
    """Return the case without any intervention."""
    return case_of(model, shift, [] if model == "bn" else layers)


def _compare(
    cases: Sequence[Case], rows: Mapping[Case, list[Row]], layers: list[int]
) -> dict[Case, Effect]:
    """Compare each of ``cases`` with the case without what is special to it; one family."""
    values = {case: {row.seed: row.accuracy for row in of_case} for case, of_case in rows.items()}
    pairs = {
        case: Pair(
            *("with", "without", values[case], values[_without(case, layers)]),
            shift=(case.shift, case.severity),
        )
        for case in cases
    }
    compared = zip(pairs.items(), compare_by_seeds(list(pairs.values()), margin=0), strict=True)
    return {
        case: Effect(x, _restored(pair, values[_whole(case, layers)]))
        for (case, pair), x in compared
    }


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
    layers: list[int],
) -> Iterator[tuple[tuple[str, int], float]]:
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
        if one.fresh == as_trained(one.model, CLEAN, layers).means
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
            yield (model, layer), mean(coefficients)
