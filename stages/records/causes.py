"""The record of interventions in kept networks: what is tried, and what it did to the accuracy.

reports/studies/causes.csv has a row for each network, set of images and intervention.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from stages.evaluation.checking import Fraction, read_table
from stages.evaluation.interventions import FIXED, MANY, Intervention, Treatment
from stages.model.history import write_rows
from stages.records.declaration import RECORDS
from stages.records.record import Key

PATH = RECORDS / "causes.csv"

Model = Annotated[str, Field(pattern="^(bn|gn|ln)$")]
Shift = tuple[str, float]  # of the images, and its severity
CLEAN, CONTRAST, BRIGHTNESS = ("none", 0.0), ("contrast", 0.1), ("brightness", 0.6)
NOISE, BLUR = ("noise", 0.3), ("blur", 2.0)
SHIFTS: tuple[Shift, ...] = CLEAN, CONTRAST, BRIGHTNESS, NOISE, BLUR


@dataclass(frozen=True)
class Case:
    """One intervention in a network of ``model``, on one set of images.

    Layers are counted from 1 on and written as "1 2 3".
    """

    model: Model
    shift: str
    severity: float
    fixed: str  # what is fixed: "running" averages of the training, or those of "clean" images
    means: str  # the layers whose means are fresh, not fixed
    variances: str
    images: int  # fresh statistics are of so many images at a time; 0 where none are fresh
    change: str  # of the inputs of some layers, one of interventions.CHANGES, or ""
    changed: str  # the inputs of these layers

    def treat(self, count: int) -> Intervention:
        """Return what each of the ``count`` layers of a network does."""
        means, variances, changed = map(_read, (self.means, self.variances, self.changed))
        return tuple(
            Treatment(
                self.images if layer in means else FIXED,
                self.images if layer in variances else FIXED,
                self.change if layer in changed else "",
            )
            for layer in range(1, count + 1)
        )


@dataclass(frozen=True)
class Row(Case):
    """A row of causes.csv."""

    seed: int
    recipe: str
    accuracy: Fraction
    answer: int  # the digit that the network reads most often
    answered: Fraction  # in so many of the images

    @property
    def case(self) -> Case:
        """The intervention."""
        return Case(**{field.name: getattr(self, field.name) for field in fields(Case)})

    @property
    def what(self) -> tuple[Key, Case]:
        """The network and the intervention."""
        return (self.model, self.seed, self.recipe), self.case


def case_of(
    model: str,
    shift: Shift,
    means: Sequence[int],
    variances: Sequence[int] | None = None,
    *,
    images: int = 0,
    fixed: str = "",
    change: str = "",
    changed: Sequence[int] = (),
) -> Case:
    """Return the case in which these layers are fresh: both moments of ``means`` if alone.

    What is not said is as in training: fresh statistics are those of 100 images for bn, else of
    each image; fixed are the running averages of bn, else those of clean images.
    """
    usual, stale = (MANY, "running") if model == "bn" else (1, "clean")
    variances = means if variances is None else variances
    return Case(
        model=model,
        shift=shift[0],
        severity=shift[1],
        fixed=fixed or stale,
        means=_write(means),
        variances=_write(variances),
        images=(images or usual) if means or variances else 0,
        change=change,
        changed=_write(changed),
    )


def list_cases(model: str, layers: list[int]) -> list[Case]:
    """Return all cases of ``model``, whose networks have these normalizations."""
    return [case for shift in SHIFTS for case in list_on(model, shift, layers)]


def list_on(model: str, shift: Shift, layers: list[int]) -> list[Case]:
    """Return the cases on one set of images: which layers are fresh, and what changes."""
    first, others, none = layers[:1], layers[1:], layers[:0]
    case = partial(case_of, model, shift)
    if model == "bn":  # fixed as trained: what cures it?
        fresh = [none, *([layer] for layer in layers), layers[:2], layers[:3], others, layers]
        cases = [case(some) for some in fresh]
        cases += [case(some, none) for some in (first, layers)]
        cases += [case(none, some) for some in (first, layers)]
        cases += [case(some, images=1) for some in (first, layers[:2])]
        cases += [case(none, fixed="clean"), case(none, change="align all", changed=others)]
    else:  # fresh as trained: what breaks it, and what that bn has would mend it?
        frozen = [none, *([layer] for layer in layers), others, layers]
        cases = [case([x for x in layers if x not in some]) for some in frozen]
        cases += [case(others, change=x, changed=others) for x in ("align channels", "align all")]
        cases += [case(layers, change="align channels", changed=layers)]
    if shift == NOISE:
        cases += [case(none, change="no offsets", changed=some) for some in (first, layers)]
    return cases


def read_causes(path: Path = PATH) -> list[Row]:
    """Read causes.csv; no rows if there is no file.

    Raises:
        PipelineError: it is not such a record.
    """
    remedy, kind = f"restore it with `git checkout {path}`", TypeAdapter(list[Row])
    return read_table(kind, path, "a record of interventions", remedy) if path.exists() else []


def write_causes(rows: Iterable[Row]) -> None:
    """Write ``rows`` in an order that does not depend on which was there first."""
    write_rows(PATH, sorted(map(vars, rows), key=lambda row: tuple(row.values())))


def _write(layers: Sequence[int]) -> str:
    return " ".join(map(str, layers))


def _read(layers: str) -> list[int]:
    return list(map(int, layers.split()))
