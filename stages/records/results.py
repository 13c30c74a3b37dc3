"""What the records of a study hold for its present declaration and parameters."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from stages.core.params import MODELS, Params
from stages.evaluation.shifts import Case, SeededRow
from stages.records.declaration import Study
from stages.records.plan import plan
from stages.records.record import Key, Row, key_of

# The accuracy of guessing, and so that of a training that diverged: on clean and on shifted images,
# in each mean and test. It leaves no seed and no model out.
CHANCE = 0.1


@dataclass(frozen=True)
class Cell:
    """The trainings of an arm that are done, by seed."""

    rows: dict[int, Row]
    shifted: dict[Case, dict[int, float]] = field(default_factory=dict)  # accuracies, by seed

    def accuracy(self, column: str) -> dict[int, float]:
        """Return the fractions in ``column`` by seed; one that diverged counts as guessing."""
        found = {seed: float(row[column]) for seed, row in self.rows.items() if column in row}
        return found | dict.fromkeys(self.diverged, CHANCE)

    def accuracy_on(self, case: Case) -> dict[int, float]:
        """Return the fractions on shifted images by seed, likewise."""
        return self.shifted.get(case, {}) | dict.fromkeys(self.diverged, CHANCE)

    @cached_property
    def diverged(self) -> list[int]:
        """The seeds whose training diverged."""
        return [seed for seed, row in self.rows.items() if did_diverge(row)]


@dataclass(frozen=True)
class Results:
    """The cells of each model, one per variant; a control has the same one in all variants."""

    study: Study
    split: str  # whose accuracy is compared: test or validation
    cells: dict[str, list[Cell]]
    controls: list[str]  # the models that what varies leaves unchanged
    left_out: int  # rows of other recipes than the study now has
    machines: list[str]  # the types of machine that trained

    @property
    def column(self) -> str:
        """The column of the accuracy that is compared."""
        return f"{self.split}_accuracy"

    @property
    def repeats_main_job(self) -> bool:
        """Whether the study changes nothing, and so trains the models of params.yaml again."""
        is_as_they_are = not self.study.set and self.study.each_variant == [{}]
        return is_as_they_are and set(MODELS) <= set(self.cells)

    @property
    def is_empty(self) -> bool:
        """Whether no training of the study is done."""
        return not any(cell.rows for cells in self.cells.values() for cell in cells)


def did_diverge(row: Row) -> bool:
    """Say whether the training of ``row`` diverged."""
    return row.get("outcome", "").startswith("diverged")


def collect(
    study: Study, params: Params, rows: Iterable[Row], shifted: Iterable[SeededRow] = ()
) -> Results:
    """Find the trainings of ``study``, based on ``params``, among ``rows``, whatever their seeds.

    So among the rows ``shifted`` of its second record, if it has one.

    Raises:
        ParamsError: the study cannot be planned.
    """
    arms = plan(study, params)
    found = {(arm.model, arm.recipe.digest): Cell({}) for of in arms.values() for arm in of}
    followed = next(iter(arms.values()))[0].recipe.followed_split
    split = "test" if study.scores_test else followed
    left_out = 0
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        cell = found.get((row["model"], row["recipe"]))
        if cell is None:
            left_out += 1
        elif did_diverge(row) or f"{split}_accuracy" in row:
            cell.rows[int(row["seed"])] = row
    for one in shifted:
        if cell := found.get((one.model, one.recipe)):
            cell.shifted.setdefault(one.case, {})[one.seed] = one.accuracy
    done = [row for cell in found.values() for row in cell.rows.values()]
    return Results(
        study=study,
        split=split,
        cells={
            model: [found[model, arm.recipe.digest] for arm in of] for model, of in arms.items()
        },
        controls=[model for model, (arm, *_) in arms.items() if not arm.values and study.vary],
        left_out=left_out,
        machines=sorted({row["machine"] for row in done if "machine" in row}),
    )


def done_rows(results: Results) -> dict[Key, Row]:
    """Return the rows of the trainings that are done, by their keys."""
    cells = (cell for of_model in results.cells.values() for cell in of_model)
    return {key_of(row): row for cell in cells for row in cell.rows.values()}
