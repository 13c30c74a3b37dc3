"""Why the models differ: what the interventions in their networks show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from stages.analysis.comparison import Comparison, Pair, Shift, compare_by_seeds
from stages.analysis.inference import Interval, ratio_interval
from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.records.causes import CLEAN, SHIFTS, Case, Row, case_of, list_cases, list_on

_LEAST_LOSS = 0.05  # a fraction: of a smaller loss, a share says little


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
class Causes:
    """All that the interventions show; accuracies are fractions, in the order of ``seeds``.

    Each list of effects is one family of tests.
    """

    seeds: list[int]
    layers: list[int]  # the numbers of the normalizations
    rows: Mapping[Case, list[Row]]  # by seed
    cures: list[Effect]  # of bn: statistics of the test images in some layers
    breaks: list[Effect]  # of gn and ln: statistics of clean images in some layers
    changes: list[Effect]  # of what some layers are given, in all models

    def accuracies(self, case: Case) -> list[float]:
        """Return the accuracies by seed."""
        return [row.accuracy for row in self.rows[case]]

    def as_trained(self, model: str, shift: Shift) -> Case:
        """Return the case without any intervention."""
        return as_trained(model, shift, self.layers)

    @property
    def effects(self) -> list[Effect]:
        """The effects of all interventions."""
        return [*self.cures, *self.breaks, *self.changes]

    def find(self, case: Case) -> Effect:
        """Return the effect of ``case``."""
        return next(effect for effect in self.effects if effect.case == case)


def find_causes(params: Params, rows: Sequence[Row]) -> Causes | None:
    """Judge the record of interventions; None before it is complete for two seeds."""
    recipes = {model: Recipe.of(model, params).digest for model in MODELS}
    layers = list(range(1, 7 + params.network.extra_blocks))
    by_case: dict[Case, dict[int, Row]] = {}
    for row in rows:
        if row.recipe == recipes[row.model]:
            by_case.setdefault(row.case, {})[row.seed] = row
    wanted = [case for model in MODELS for case in list_cases(model, layers)]
    seeds = sorted(set.intersection(*(set(by_case.get(case, {})) for case in wanted)))
    if len(seeds) < 2:
        return None
    complete = {case: [by_case[case][seed] for seed in seeds] for case in wanted}
    cures, breaks, changes = _sort(layers)
    return Causes(
        seeds=seeds,
        layers=layers,
        rows=complete,
        cures=_compare(cures, complete, layers),
        breaks=_compare(breaks, complete, layers),
        changes=_compare(changes, complete, layers),
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
    """Return the same without its change, or else as trained."""
    if case.change:
        return replace(case, change="", changed="")
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
