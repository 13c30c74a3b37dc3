"""The record of interventions in kept networks: what is tried, and what it did to the accuracy.

reports/studies/causes.csv has a row for each network, set of images and intervention;
causes-distance.csv one for each network, set of images and layer: how far the statistics of the
channels before that layer lie from those of clean training images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from stages.evaluation.checking import Fraction, read_record
from stages.evaluation.interventions import FIXED, MANY, Intervention, Source, Treatment
from stages.evaluation.shifts import CLEAN, Shift
from stages.model.history import write_rows
from stages.records.declaration import RECORDS
from stages.records.record import Key

PATH, DISTANCES_PATH = RECORDS / "causes.csv", RECORDS / "causes-distance.csv"

Model = Annotated[str, Field(pattern="^(bn|gn|ln)$")]
CONTRAST, BRIGHTNESS = ("contrast", 0.1), ("brightness", 0.6)
NOISE, BLUR = ("noise", 0.3), ("blur", 2.0)
SHIFTS: tuple[Shift, ...] = CLEAN, CONTRAST, BRIGHTNESS, NOISE, BLUR
BLENDED_SHIFTS: tuple[Shift, ...] = CLEAN, CONTRAST, BRIGHTNESS, NOISE
BLENDED_IMAGES = 1, 2, 4, 8, 16, 32, 64
PRIORS = 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0  # images; one of these is chosen


@dataclass(frozen=True)
class Case:
    """One intervention in a network of ``model``, on one set of images.

    Layers are counted from 1 on and written as "1 2 3".
    """

    model: Model
    split: str  # test, or train: the images to choose by
    shift: str
    severity: float
    fixed: str  # what is fixed: "running" averages of the training, or those of "clean" images
    means: str  # the layers whose means are fresh, not fixed
    variances: str
    images: int  # fresh statistics are of so many images at a time; 0 where none are fresh
    prior: float  # the fixed ones, mixed in, count as those of so many images
    change: str  # of the inputs of some layers, one of interventions.CHANGES, or ""
    changed: str  # the inputs of these layers

    def treat(self, count: int) -> Intervention:
        """Return what each of the ``count`` layers of a network does."""
        means, variances, changed = map(_read, (self.means, self.variances, self.changed))
        fresh = Source(self.images, self.prior)
        return tuple(
            Treatment(
                fresh if layer in means else FIXED,
                fresh if layer in variances else FIXED,
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


@dataclass(frozen=True)
class Distance:
    """A row of causes-distance.csv: the statistics of the channels before one layer.

    ``mean`` and ``deviation`` are how far those of a channel lie from its own on clean training
    images, in units of its deviation there: the root mean square over the channels. The sum of
    both squares is that of the normalized Wasserstein distance of Schneider et al. 2020.
    """

    model: Model
    seed: int
    recipe: str
    shift: str
    severity: float
    fresh: str  # the layers that normalize by fresh statistics
    layer: int
    mean: float
    deviation: float

    @property
    def what(self) -> tuple[Key, str, float, str]:
        """The network, the images, and the layers that are fresh."""
        return (self.model, self.seed, self.recipe), self.shift, self.severity, self.fresh


def case_of(
    model: str,
    shift: Shift,
    means: Sequence[int],
    variances: Sequence[int] | None = None,
    *,
    images: int = 0,
    prior: float = 0,
    fixed: str = "",
    change: str = "",
    changed: Sequence[int] = (),
    split: str = "test",
) -> Case:
    """Return the case in which these layers are fresh: both moments of ``means`` if alone.

    What is not said is as in training: fresh statistics are those of 100 images for bn, else of
    each image; fixed are the running averages of bn, else those of clean images.
    """
    usual, stale = (MANY, "running") if model == "bn" else (1, "clean")
    variances = means if variances is None else variances
    return Case(
        model=model,
        split=split,
        shift=shift[0],
        severity=shift[1],
        fixed=fixed or stale,
        means=_write(means),
        variances=_write(variances),
        images=(images or usual) if means or variances else 0,
        prior=float(prior),
        change=change,
        changed=_write(changed),
    )


def list_cases(model: str, count: int, prior: float) -> list[Case]:
    """Return all cases of ``model``, whose networks have ``count`` normalizations.

    ``prior`` is what fixed statistics count as where they are mixed with those of a few images.
    """
    layers = list(range(1, count + 1))
    cases = [case for shift in SHIFTS for case in list_on(model, shift, layers)]
    if model != "bn":
        return cases
    return cases + [
        case_of(model, shift, layers, images=images, prior=weight)
        for shift in BLENDED_SHIFTS
        for images in BLENDED_IMAGES
        for weight in (0, prior)
    ]


def list_choice(count: int) -> list[Case]:
    """Return the cases of bn, on training images, by which one of ``PRIORS`` is chosen."""
    return [
        case_of("bn", shift, range(1, count + 1), images=images, prior=prior, split="train")
        for shift in BLENDED_SHIFTS
        for images in BLENDED_IMAGES[::2]
        for prior in PRIORS
    ]


def list_compared(model: str, count: int, shifts: Iterable[Shift]) -> list[Case]:
    """Return the cases in which statistics are compared with those of clean training images.

    As trained on all ``shifts``; on a few also with all layers fixed and with all fresh.
    """
    layers = list(range(1, count + 1))
    as_trained = [] if model == "bn" else layers
    cases = [case_of(model, shift, as_trained) for shift in shifts]
    cases += [case_of(model, shift, fresh) for shift in SHIFTS for fresh in ([], layers)]
    return list(dict.fromkeys(cases))


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


def read_causes() -> list[Row]:
    """Read causes.csv; no rows if there is no file.

    Raises:
        PipelineError: it is not such a record.
    """
    return read_record(TypeAdapter(list[Row]), PATH, "a record of interventions")


def read_distances() -> list[Distance]:
    """Read causes-distance.csv, likewise."""
    return read_record(TypeAdapter(list[Distance]), DISTANCES_PATH, "a record of distances")


def write_table(path: Path, rows: Iterable[Row | Distance]) -> None:
    """Write ``rows`` in an order that does not depend on which was there first."""
    write_rows(path, sorted(map(vars, rows), key=lambda row: tuple(row.values())))


def _write(layers: Sequence[int]) -> str:
    return " ".join(map(str, layers))


def _read(layers: str) -> list[int]:
    return list(map(int, layers.split()))
