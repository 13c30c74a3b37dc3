"""What the report shows of each study that has a record: its accuracies and its effects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from stages.core.errors import ParamsError
from stages.core.params import Params
from stages.evaluation.interventions import NUM_IMAGES
from stages.records.declaration import Published, Situation, Study, read_studies
from stages.records.plan import plan
from stages.records.record import read_rows
from stages.records.results import Cell, Results, collect
from stages.records.shifted import read_shifted
from stages.records.summary import axis_of, name_value, show, tell_of_record
from stages.reporting.effects import Effect, Pair, Sentence, compare, tell, tell_of_sign_flips
from stages.reporting.seeds import SEEDS_PATH
from stages.reporting.shifts import ShiftFindings, find_shifts_by_seed, group_by_seed

READINGS = {  # of bn: whose statistics it normalizes by to evaluate, and the column of that
    "running": "test_accuracy",
    "recomputed": "recomputed_accuracy",
    "batch": "batch_accuracy",
}
_CALLED = {"none": "no normalization"}
_ABOUT_READINGS = (
    "bn normalizes with its running averages; with statistics recomputed for the final weights "
    f"from {NUM_IMAGES:,} training images (Wu and Johnson 2021); or with those of each test batch."
)


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

    study: Study
    name: str  # of its figure
    text: str
    axis: str  # what varies, in words; "" if nothing does
    places: list[str]  # its values, in words; one, "", if nothing varies
    series: list[Series]
    effects: list[Effect]
    answer: list[Sentence]
    notes: list[str]
    situations: list[Situation]  # in which people ask it
    published: Published | None  # what others found

    @property
    def has_places(self) -> bool:
        """Whether the answer names the places at which it holds."""
        return any(effect.pair.place for effect in self.effects)

    @property
    def table(self) -> list[tuple[str, list[str]]]:
        """Each place, with mean and deviation of each series there."""
        return [
            (place, [show(series.cells[i], series.column) for series in self.series])
            for i, place in enumerate(self.places)
        ]


@dataclass(frozen=True)
class ShiftedStudy:
    """A study of shifted test images, and what its record shows of them."""

    study: Study
    shifts: ShiftFindings

    @property
    def name(self) -> str:
        """The name of its figure."""
        return f"study_{self.study.name}"


@dataclass(frozen=True)
class Studies:
    """What the report says of the studies."""

    questions: list[Question]
    shifted: list[ShiftedStudy]  # the main job's own seeds are elsewhere
    left_out: list[str]  # the studies that were recorded with other parameters than the present

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say."""
        return not (self.questions or self.shifted or self.left_out)


def read_study_findings(params: Params) -> Studies:
    """Read the records of the studies that score the test images, and compare what they hold.

    Left out are the seeds of the main job, which `seeds` reads, and the searches by which
    recipes were chosen.

    Raises:
        ParamsError: studies.yaml cannot be read, or a study is not declared correctly.
        PipelineError: a record is damaged.
    """
    questions: list[Question] = []
    shifted: list[ShiftedStudy] = []
    left_out = []
    for study in read_studies().values():
        rows = read_rows(study.record)
        if not rows or study.record == SEEDS_PATH or not study.scores_test:
            continue
        try:
            results = collect(study, params, rows)
        except ParamsError:  # the present parameters do not allow what it varies
            left_out.append(study.name)
            continue
        if results.is_empty:
            left_out.append(study.name)
        elif study.shifts:
            shifted += _find_shifted(study, params)
        else:
            questions += ask(results, params.report.equivalence_margin / 100)
    return Studies(questions, shifted, left_out)


def _find_shifted(study: Study, params: Params) -> Iterator[ShiftedStudy]:
    """Compare the models on the shifted images, if two seeds have them all."""
    digests = {model: arm.recipe.digest for model, (arm,) in plan(study, params).items()}
    if by_seed := group_by_seed(read_shifted(study), digests, params.shifts):
        yield ShiftedStudy(study, find_shifts_by_seed(params, by_seed))


def ask(results: Results, margin: float) -> Iterator[Question]:
    """Answer the question of a study, and that of the readings of bn if it asks it too."""
    study = results.study
    models = [
        Series(_CALLED.get(model, model), model, cells, results.column, model in results.controls)
        for model, cells in results.cells.items()
    ]
    pairs = _pair_places if study.compare == "values" else _pair_models
    yield _answer(results, study.name, study.question, models, pairs(models, study), margin)
    if study.readings and "bn" in results.cells:
        readings = [
            Series(name, "bn", results.cells["bn"], column) for name, column in READINGS.items()
        ]
        pairs_of_readings = [
            pair for other in readings[1:] for pair in _pair(other, readings[0], study)
        ]
        name = f"{study.name}-readings"
        yield _answer(results, name, study.readings, readings, pairs_of_readings, margin)


def _pair_models(series: Sequence[Series], study: Study) -> list[Pair]:
    return [pair for both in combinations(series, 2) for pair in _pair(*both, study)]


def _pair(first: Series, second: Series, study: Study) -> Iterator[Pair]:
    """Pair two series at each place; two controls, which are the same everywhere, once."""
    is_same = first.is_control and second.is_control
    for i, place in enumerate([""] if is_same else name_places(study)):
        yield Pair(
            f"{first.name} and {second.name}",
            place,
            first.name,
            second.name,
            first.accuracy(i),
            second.accuracy(i),
            first.diverges(i) and second.diverges(i),
        )


def _pair_places(series: Sequence[Series], study: Study) -> list[Pair]:
    """Pair each series at a later place with itself at the first."""
    first, *others = name_places(study)
    return [
        Pair(
            f"{one.name}, {first} and {place}",
            "",
            place,
            first,
            one.accuracy(i),
            one.accuracy(0),
            one.diverges(i) and one.diverges(0),
        )
        for one in series
        if not one.is_control
        for i, place in enumerate(others, start=1)
    ]


def name_places(study: Study) -> list[str]:
    """Return the values of what varies in words; one, "", if nothing does."""
    if not study.vary and not study.variants:
        return [""]
    return [name_value(variant, study.vary) for variant in study.each_variant]


def _answer(
    results: Results,
    name: str,
    text: str,
    series: list[Series],
    pairs: Sequence[Pair],
    margin: float,
) -> Question:
    study, effects = results.study, compare(pairs, margin)
    is_of_readings = text == study.readings
    published = None if is_of_readings else study.published
    below = published and (
        f"The lower panel shows {published.network}, as published ({published.source})."
    )
    note = _ABOUT_READINGS if is_of_readings else study.note
    flips = tell_of_sign_flips(effects)
    return Question(
        study=study,
        name=f"study_{name}",
        text=text,
        axis=axis_of(results) if study.vary or study.variants else "",
        places=name_places(study),
        series=series,
        effects=effects,
        answer=tell(effects, margin),
        notes=[
            x for x in (note, below, _count_seeds(series), flips, *tell_of_record(results)) if x
        ],
        situations=[one for one in study.situations if one.readings == is_of_readings],
        published=published,
    )


def _count_seeds(series: Sequence[Series]) -> str:
    """Say over how many seeds the means are taken."""
    counts = {len(cell.rows) for one in series for cell in one.cells}
    least, most = min(counts), max(counts)
    return f"{most} seeds each." if least == most else f"{least} to {most} seeds each."
