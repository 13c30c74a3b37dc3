"""What the record of each study shows: its accuracies, and how those that it asks of compare."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from stages.analysis.comparison import Comparison, Pair, compare_by_seeds
from stages.analysis.planning import PILOT_SEEDS, plan_seeds
from stages.analysis.shifts import BATCH, Shifts, compare_seeds_by_shift
from stages.core.params import Params
from stages.records.declaration import Published, Situation, Study
from stages.records.results import Cell, Results

READINGS = {  # of bn: whose statistics it normalizes by to evaluate, and the column of that
    "bn": "test_accuracy",
    "bn-recomputed": "recomputed_accuracy",
    BATCH: "batch_accuracy",
    "bn-composed": "composed_accuracy",
}


@dataclass(frozen=True)
class Series:
    """One line of a figure: a model, or a reading of bn, with its trainings at each place."""

    name: str
    model: str  # whose colour it has
    cells: list[Cell]  # by place
    column: str  # of the accuracy
    is_control: bool = False  # whether what varies leaves it unchanged

    def accuracy(self, place: int) -> dict[int, float]:
        """Return the fractions at a place by seed."""
        return self.cells[place].accuracy(self.column)

    def diverges(self, place: int) -> bool:
        """Say whether all trainings at a place diverged."""
        cell = self.cells[place]
        return len(cell.diverged) == len(cell.rows) > 0


@dataclass(frozen=True)
class Question:
    """A question that a study asks, and what its record answers."""

    results: Results
    is_of_readings: bool  # else of models, or of the values of what varies
    series: list[Series]
    comparisons: list[Comparison]
    margin: float  # the smallest difference that matters, a fraction
    planned: list[int]  # seeds that would show it, for each pair with a spread on record

    @property
    def study(self) -> Study:
        """The study that asks."""
        return self.results.study

    @property
    def name(self) -> str:
        """The name of its figure."""
        return f"study_{self.study.name}{'-readings' * self.is_of_readings}"

    @property
    def text(self) -> str:
        """The question."""
        return self.study.readings if self.is_of_readings else self.study.question

    @property
    def has_results(self) -> bool:
        """Whether any training that it asks of is on record."""
        return any(one.accuracy(i) for one in self.series for i in range(len(self.study.places)))

    @property
    def has_figure(self) -> bool:
        """Whether there is something to see: if nothing differs, a sentence is enough."""
        return any(x.differs for x in self.comparisons)

    @property
    def situations(self) -> list[Situation]:
        """Those in which people ask it; those of a study with shifts are of shifted images."""
        of_all = [] if self.study.shifts else self.study.situations
        return [x for x in of_all if x.readings == self.is_of_readings]

    @property
    def published(self) -> Published | None:
        """What others found."""
        return None if self.is_of_readings else self.study.published


@dataclass(frozen=True)
class ShiftedStudy:
    """A study of shifted test images, and what its record shows of them."""

    study: Study
    arms: dict[str, Shifts]  # by the value of what varies; one, "", if nothing does
    controls: list[str]  # the models that what varies leaves unchanged

    @property
    def name(self) -> str:
        """The name of its figure."""
        return f"study_{self.study.name}{'-shifts' * self.has_arms}"

    @property
    def has_arms(self) -> bool:
        """Whether anything varies, so that the study also asks a question of clean images."""
        return "" not in self.arms

    @property
    def shifts(self) -> Shifts:
        """The comparisons of all arms; and the accuracies, if nothing varies."""
        first, *_ = self.arms.values()
        if not self.has_arms:
            return first
        comparisons = dict.fromkeys(x for one in self.arms.values() for x in one.comparisons)
        return replace(first, accuracy={}, by_seed={}, comparisons=list(comparisons))


@dataclass(frozen=True)
class Studies:
    """What the records of the studies show."""

    questions: list[Question]
    shifted: list[ShiftedStudy]
    left_out: list[str]  # the studies that were recorded with other parameters than the present


def compare_studies(records: Mapping[str, Results | None], params: Params) -> Studies:
    """Compare what the ``records`` hold, apart from the main job's own seeds."""
    found = Studies([], [], [name for name, results in records.items() if results is None])
    for results in records.values():
        if results is None or results.repeats_main_job:
            continue
        study, cells, controls = results.study, results.cells, results.controls
        if not study.shifts or study.places != [""]:
            questions = ask(results, params.report.equivalence_margin / 100)
            found.questions.extend(one for one in questions if one.has_results)
        if study.shifts:
            arms = {place: {m: cells[m][i] for m in cells} for i, place in enumerate(study.places)}
            of_values = study.compare == "values"
            if by_arm := compare_seeds_by_shift(params, arms, controls, of_values):
                found.shifted.append(ShiftedStudy(study, by_arm, controls))
    return found


def ask(results: Results, margin: float) -> Iterator[Question]:
    """Ask the question of a study, and that of the readings of bn if there is one."""
    study = results.study
    margin = study.matters / 100 if study.matters else margin
    models = [
        Series(model, model, cells, results.column, model in results.controls)
        for model, cells in results.cells.items()
    ]
    if study.compare == "values":
        pairs = _pair_places(models, study)
    else:
        pairs = [pair for both in combinations(models, 2) for pair in _pair(*both, study)]
    yield _compare(results, False, models, pairs, margin)
    if study.readings and "bn" in results.cells:
        cells = results.cells["bn"]
        known = {column for cell in cells for row in cell.rows.values() for column in row}
        readings = [
            Series(name, "bn", cells, column)
            for name, column in READINGS.items()
            if column in known
        ]
        pairs = [pair for x in readings[1:] for pair in _pair(x, readings[0], study)]
        yield _compare(results, True, readings, pairs, margin)


def _compare(
    results: Results, is_of_readings: bool, series: list[Series], pairs: list[Pair], margin: float
) -> Question:
    pilots = [[x - y for x, y in pair.by_seed[:PILOT_SEEDS]] for pair in pairs]
    planned = [plan_seeds(x, margin, len(pairs)) for x in pilots if len(x) == PILOT_SEEDS]
    comparisons = compare_by_seeds(pairs, margin)
    return Question(results, is_of_readings, series, comparisons, margin, planned)


def _pair(first: Series, second: Series, study: Study) -> Iterator[Pair]:
    """Pair two series at each place; two controls, which are the same everywhere, once."""
    is_same = first.is_control and second.is_control
    for i, place in enumerate([""] if is_same else study.places):
        both_diverged = first.diverges(i) and second.diverges(i)
        accuracies = first.accuracy(i), second.accuracy(i)
        yield Pair(first.name, second.name, *accuracies, place, both_diverged=both_diverged)


def _pair_places(series: Sequence[Series], study: Study) -> list[Pair]:
    """Pair each series at a later place with itself at the first."""
    first, *others = study.places
    return [
        Pair(
            place,
            first,
            one.accuracy(i),
            one.accuracy(0),
            of=one.name,
            both_diverged=one.diverges(i) and one.diverges(0),
        )
        for one in series
        if not one.is_control
        for i, place in enumerate(others, start=1)
    ]
