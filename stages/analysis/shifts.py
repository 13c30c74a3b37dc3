"""How the models differ on shifted test images, shift by shift."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

from stages.analysis.comparison import Comparison, Pair, compare_by_seeds
from stages.core.params import Params, ShiftParams
from stages.evaluation.shifts import CLEAN, Case, Shift, list_cases
from stages.records.results import Cell

BATCH = "bn-batch"  # the reading of bn with the statistics of the test batch
NEUTRAL = {"contrast": 1.0}  # the severity that changes nothing, where it is not 0
_NEAR = 0.01  # a fraction

Kind = tuple[str, bool]  # a shift, and whether its severity is below the one that changes nothing


@dataclass(frozen=True)
class Shifts:
    """The accuracies (fractions) of all readings on shifted test images, and how they compare."""

    params: ShiftParams
    accuracy: dict[Case, float]  # the mean, where there are several seeds
    by_seed: dict[Case, list[float]]  # what that is the mean of; none for one network
    num_seeds: int  # 1: one network of each model, of which nothing is compared
    comparisons: list[Comparison]  # at all shifts and severities, corrected as one family

    @property
    def largest(self) -> list[Comparison]:
        """The largest difference between models shown for each shift, or if none is, seen.

        The largest first; those of ``BATCH`` are not among them.
        """
        found: dict[str, Comparison] = {}
        models = [x for x in self.comparisons if x.first != BATCH]
        for x in sorted(models, key=lambda x: (x.differs, x.size), reverse=True):
            found.setdefault(x.shift[0], x)
        return list(found.values())

    def by_severity(self, shift: str, reading: str) -> dict[float, Case]:
        """Return the cases of a reading by the severity of the shift, from none on."""
        size = self.params.test_batch if reading == BATCH else None
        return {
            NEUTRAL.get(shift, 0.0) if case.shift == CLEAN[0] else case.severity: case
            for case in self.accuracy
            if (case.reading, case.batch_size) == (reading, size)
            and case.shift in (shift, CLEAN[0])
        }

    def most_by_batch(self, is_gain: bool) -> Comparison | None:
        """Return the largest difference shown by which the batch's statistics help bn, or harm."""
        shown = [x for x in self.comparisons if x.first == BATCH and x.differs]
        of_kind = (x for x in shown if (x.difference > 0) == is_gain)
        return max(of_kind, key=lambda x: x.size, default=None)

    @property
    def by_size(self) -> dict[Shift, dict[int, float]]:
        """The accuracies of ``BATCH`` by the size of the test batch, where several were tried."""
        found: dict[Shift, dict[int, float]] = {}
        for case, share in self.accuracy.items():
            if case.batch_size is not None:
                found.setdefault((case.shift, case.severity), {})[case.batch_size] = share
        return {
            shift: dict(sorted(of_shift.items()))
            for shift, of_shift in found.items()
            if len(of_shift) > 1
        }


def find_enough(by_size: Mapping[int, float]) -> int:
    """Return the size of the test batch from which the accuracy is near that of the largest."""
    *_, last = by_size.values()
    far = [size for size, share in by_size.items() if abs(share - last) > _NEAR]
    return next(size for size in by_size if size > max(far, default=0))


def kind_of(one: Shift) -> Kind:
    """Return the kind of a shift and severity."""
    shift, severity = one
    return shift, severity < NEUTRAL.get(shift, 0)


def compare_seeds_by_shift(
    params: Params,
    arms: Mapping[str, Mapping[str, Cell]],
    controls: Sequence[str] = (),
    of_values: bool = False,
) -> dict[str, Shifts]:
    """Compare all models over the seeds that have all shifts in the cells of all of them.

    They are compared in each of the ``arms``, by the name of its place, with all tests as one
    family; two ``controls``, which are the same everywhere, once. Or else, ``of_values``, each
    other model in a later arm is compared with itself in the first. Left out are arms with fewer
    than two such seeds.
    """
    by_arm = {
        place: by_seed for place, cells in arms.items() if (by_seed := _read_seeds(params, cells))
    }
    pairs = list(_pair_arms(by_arm, controls)) if of_values else []
    for place, by_seed in () if of_values else by_arm.items():
        for a, b in _list_pairs(by_seed):
            is_same = {a.model, b.model} <= set(controls)
            if not is_same or place == next(iter(by_arm)):
                both, at = (by_seed[a], by_seed[b]), "" if is_same else place
                shift = a.shift, a.severity
                pairs.append(Pair(a.reading, b.reading, *both, at, shift=shift))
    comparisons = compare_by_seeds(pairs, params.report.equivalence_margin / 100)
    return {
        place: _summarize(params, by_seed, [x for x in comparisons if x.place in ("", place)])
        for place, by_seed in by_arm.items()
    }


def _pair_arms(
    by_arm: Mapping[str, Mapping[Case, dict[int, float]]], controls: Sequence[str]
) -> Iterator[Pair]:
    """Pair each model, as it is usually read, in each later arm with itself in the first."""
    for place, by_seed in list(by_arm.items())[1:]:
        first, *_ = by_arm
        for case, values in by_seed.items():
            shift = case.shift, case.severity
            if case.reading not in (BATCH, *controls) and shift != CLEAN:
                both = values, by_arm[first][case]
                yield Pair(place, first, *both, of=case.model, shift=shift)


def _read_seeds(params: Params, cells: Mapping[str, Cell]) -> dict[Case, dict[int, float]]:
    """Return the accuracies by case and seed, of the seeds that have all; none of one seed."""
    by_seed = {
        case: cell.accuracy_on(case)
        for model, cell in cells.items()
        for case in list_cases(model, params.shifts)
    }
    seeds = sorted(set.intersection(*map(set, by_seed.values())))
    if len(seeds) < 2:
        return {}
    return {case: {seed: of_case[seed] for seed in seeds} for case, of_case in by_seed.items()}


def _summarize(
    params: Params, by_seed: Mapping[Case, Mapping[int, float]], comparisons: list[Comparison]
) -> Shifts:
    values = {case: list(of_case.values()) for case, of_case in by_seed.items()}
    return Shifts(
        params.shifts,
        accuracy={case: mean(of_case) for case, of_case in values.items()},
        by_seed=values,
        num_seeds=len(next(iter(values.values()))),
        comparisons=comparisons,
    )


def _list_pairs(cases: Iterable[Case]) -> list[tuple[Case, Case]]:
    """Return what is compared on the images of each shift: all models, and the readings of bn."""
    by_set: dict[Shift, dict[str, Case]] = {}
    for case in cases:  # of several batch sizes, the one used for all shifts comes first
        if (case.shift, case.severity) != CLEAN:
            by_set.setdefault((case.shift, case.severity), {}).setdefault(case.reading, case)
    return [
        (of_set[first], of_set[second])
        for of_set in by_set.values()
        for first, second in [
            *combinations([x for x in of_set if x != BATCH], 2),
            *([(BATCH, "bn")] if BATCH in of_set else []),
        ]
    ]
