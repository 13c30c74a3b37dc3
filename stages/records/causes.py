"""The record of interventions in kept networks, and of what each did to the accuracy.

reports/studies/causes.csv has a row for each network, set of images and intervention;
causes-distance.csv one for each network, set of images and layer: how far the channels' statistics
before that layer are from those of clean training images.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from stages.core.errors import PipelineError
from stages.core.files import read_bytes
from stages.evaluation.checking import Fraction, check
from stages.evaluation.interventions import FIXED, MANY, Intervention, Source, Treatment
from stages.model.history import write_rows
from stages.records.declaration import RECORDS
from stages.records.record import Key

PATH, DISTANCES_PATH = RECORDS / "causes.csv", RECORDS / "causes-distance.csv"

Shift = tuple[str, float]  # of the images, and its severity
CLEAN = "none", 0.0
CONTRAST, BRIGHTNESS, NOISE, BLUR = ("contrast", 0.1), ("brightness", 0.6), ("noise", 0.3), ("blur", 2.0)
SHIFTS: tuple[Shift, ...] = CLEAN, CONTRAST, BRIGHTNESS, NOISE, BLUR
BLENDED_SHIFTS = CONTRAST, BRIGHTNESS, NOISE
BLENDED_IMAGES = 1, 2, 4, 8, 16, 32, 64
PRIORS = 1, 2, 4, 8, 16, 32, 64, 128, 256  # of which one is chosen
CHOICE_SEEDS = 5  # by so many networks


@dataclass(frozen=True)
class Case:
    """One intervention in a network of ``model``, on one set of images.

    Layers are counted from 1 on and written as "1 2 3".
    """

    model: str  # bn, gn or ln
    split: str  # test, or train: the images to choose by
    shift: str
    severity: float
    fixed: str  # what is fixed: "running" averages of the training, or "clean": of clean images
    means: str  # the layers whose means are fresh, not fixed
    variances: str
    images: int  # fresh statistics are of so many images at a time; 0 if none are fresh
    prior: int  # and the fixed ones count as those of so many images
    change: str  # of the inputs of some layers: of interventions.CHANGES, or ""
    changed: str  # the layers whose inputs are

    @classmethod
    def of(
        cls,
        model: str,
        shift: Shift,
        means: Iterable[int],
        variances: Iterable[int] | None = None,
        *,
        images: int | None = None,
        prior: int = 0,
        fixed: str | None = None,
        change: str = "",
        changed: Iterable[int] = (),
        split: str = "test",
    ) -> "Case":
        """Return the case in which these layers are fresh, with ``means`` alone in both moments.

        Fresh are statistics as in training, of 100 images for bn, else of each image; fixed are
        the running averages of bn, else those of clean images.
        """
        layers = [_write(x) for x in (means, means if variances is None else variances)]
        usual = MANY if model == "bn" else 1
        return cls(
            model,
            split,
            *shift,
            fixed or ("running" if model == "bn" else "clean"),
            *layers,
            (images or usual) if any(layers) else 0,
            prior,
            change,
            _write(changed),
        )

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

    @property
    def key(self) -> tuple[object, ...]:
        """The network and the case; what all rows are sorted by."""
        return astuple(self)[:-1]


@dataclass(frozen=True)
class Distance:
    """A row of causes-distance.csv: the statistics of the channels before one layer.

    In units of each channel's deviation on clean training images: how far its mean, and its
    deviation, differ from those. Root mean squares over the channels; the squares of both add up
    to the square of the Wasserstein distance of Schneider et al. 2020 (section 3.3).
    """

    model: str
    seed: int
    recipe: str
    shift: str
    severity: float
    fresh: str  # the layers that normalize by fresh statistics
    layer: int
    mean: float
    deviation: float


def list_cases(model: str, count: int, prior: int) -> list[Case]:
    """Return all cases of ``model`` whose networks have ``count`` normalizations.

    ``prior`` is what fixed statistics count where they are blended with those of a few images.
    """
    layers = list(range(1, count + 1))
    cases = [case for shift in SHIFTS for case in _list_on(model, shift, layers)]
    if model != "bn":
        return cases
    return cases + [
        Case.of(model, shift, layers, images=images, prior=weight)
        for shift in BLENDED_SHIFTS
        for images in BLENDED_IMAGES
        for weight in (0, prior)
    ]


def list_choice(count: int) -> list[Case]:
    """Return the cases of bn, on training images, by which ``prior`` is chosen."""
    return [
        Case.of("bn", shift, range(1, count + 1), images=images, prior=prior, split="train")
        for shift in BLENDED_SHIFTS
        for images in BLENDED_IMAGES[::2]
        for prior in PRIORS
    ]


def _list_on(model: str, shift: Shift, layers: list[int]) -> list[Case]:
    """Return the cases on one set of images: which layers are fresh, and what changes."""
    first, others, none = layers[:1], layers[1:], layers[:0]
    case = partial(Case.of, model, shift)
    if model == "bn":  # fixed as trained: what cures?
        fresh = [none, *([x] for x in layers), layers[:2], layers[:3], others, layers]
        cases = [case(some) for some in fresh]
        cases += [case(some, none) for some in (first, layers)]
        cases += [case(none, some) for some in (first, layers)]
        cases += [case(some, images=1) for some in (first, layers[:2])]
        cases += [case(none, fixed="clean"), case(none, change="align all", changed=others)]
    else:  # fresh as trained: what breaks, and what of bn would mend that?
        fresh = [layers, *([x for x in layers if x != y] for y in layers), first, none]
        cases = [case(some) for some in fresh]
        cases += [case(others, change=x, changed=others) for x in ("align channels", "align all")]
        cases += [case(layers, change="align channels", changed=layers)]
    if shift == NOISE:
        cases += [
            case(none, change=change, changed=some)
            for some in (first, layers)
            for change in ("no offsets", "half offsets")
        ]
        cases += [case(none, change="double offsets", changed=first)]
    return cases


def read_causes(path: Path = PATH) -> list[Row]:
    """Read causes.csv; no rows if there is no file.

    Raises:
        PipelineError: it is not such a record.
    """
    return _read_table(path, TypeAdapter(list[Row]))


def read_distances(path: Path = DISTANCES_PATH) -> list[Distance]:
    """Read causes-distance.csv, likewise."""
    return _read_table(path, TypeAdapter(list[Distance]))


def write_causes(rows: Iterable[Row | Distance], path: Path = PATH) -> None:
    """Write ``rows`` in an order that does not depend on who computed what when."""
    write_rows(path, [asdict(row) for row in sorted(rows, key=lambda row: row.key)])


R = TypeVar("R", Row, Distance)


def _read_table(path: Path, kind: TypeAdapter[list[R]]) -> list[R]:
    if not path.exists():
        return []
    remedy = f"restore it with `git checkout {path}`"
    try:
        lines = list(csv.DictReader(io.StringIO(read_bytes(path, remedy).decode()), strict=True))
    except (ValueError, csv.Error) as error:
        raise PipelineError(f"{path} is not a CSV file ({error}); {remedy}") from None
    return check(kind, lines, path, "a record of interventions", remedy)


def _write(layers: Iterable[int]) -> str:
    return " ".join(map(str, layers))


def _read(layers: str) -> list[int]:
    return list(map(int, layers.split()))
