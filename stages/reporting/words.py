"""What the report calls a data set, its classes, the models, and the shifts of test images."""

from collections.abc import Sequence
from dataclasses import dataclass

from torchvision.datasets import KMNIST, FashionMNIST

from stages.analysis.comparison import Comparison
from stages.analysis.shifts import BATCH, Kind
from stages.core.params import AugmentationParams, DataName, ShiftParams
from stages.evaluation.shifts import CLEAN, Shift, list_sets
from stages.reporting.formats import is_number, listed


@dataclass(frozen=True)
class Words:
    """The words for one data set."""

    title: str
    noun: str  # for what an image shows
    classes: tuple[str, ...]  # in the order of the labels


WORDS: dict[DataName, Words] = {
    "mnist": Words("MNIST", "digit", tuple("0123456789")),
    "fashion-mnist": Words("Fashion-MNIST", "fashion item", tuple(FashionMNIST.classes)),
    "kmnist": Words("KMNIST", "character", tuple(KMNIST.classes)),
}


_YES_OR_NO = {"yes": "if it is", "no": "if it is not"}
CALLED = {"none": "no normalization"}  # of models; else they are called by their names
READINGS = {  # of bn, for those who have not read what their names mean
    "bn": "bn with its running averages",
    BATCH: "bn with the statistics of the test batch",
    "bn-recomputed": "bn with recomputed statistics",
    "bn-composed": "bn with the statistics of test batches composed as in training",
}


@dataclass(frozen=True)
class ShiftWords:
    """A shift in words."""

    named: str  # with its severity
    axis: str  # what the severity is
    what: str  # what is done, a sentence
    images: str  # what the images then are
    images_below: str = ""  # the same, for severities below the one that changes nothing


SHIFTS = {
    "contrast": ShiftWords(
        "contrast \N{MULTIPLICATION SIGN} {:g}",
        "factor",
        "Contrast: each pixel's distance from the mean of its image is multiplied by the factor.",
        images="of higher contrast",
        images_below="faded",
    ),
    "brightness": ShiftWords(
        "brightness {:+g}",
        "added (black 0, white 1)",
        "Brightness: one number is added to all pixels, where black is 0 and white is 1.",
        images="brighter",
        images_below="darker",
    ),
    "noise": ShiftWords(
        "noise of {:g}",
        "deviation (black 0, white 1)",
        "Noise: normal noise of this standard deviation, on the same scale, is added to the "
        "pixels; its draws are always the same.",
        images="noisier",
    ),
    "rotation": ShiftWords(
        "rotation by {:g}°",
        "degrees",
        "Rotation: the image is turned counter-clockwise.",
        images="rotated",
    ),
    "translation": ShiftWords(
        "translation by {:g} pixels",
        "pixels",
        "Translation: the image is moved to the right.",
        images="moved",
    ),
    "blur": ShiftWords(
        "blur of {:g} pixels",
        "deviation (pixels)",
        "Blur: a Gaussian of this standard deviation is applied.",
        images="blurred",
    ),
    "inversion": ShiftWords(
        "inversion", "", "Inversion: black becomes white and white black.", images="inverted"
    ),
}


def call(name: str) -> str:
    """Return what a model, a reading of bn, or a value is called."""
    return CALLED.get(name, name)


def name_arm(model: str, value: str) -> str:
    """Name a model with a value of what varies; either may be missing."""
    return f"{call(model)} ({value})" if model and value else call(model or value)


def name_pair(x: Comparison) -> str:
    """Name what is compared."""
    if x.of:
        return f"{call(x.of)}, {x.second} and {x.first}"
    return f"{call(x.first)} and {call(x.second)}"


def name_shift(one: Shift) -> str:
    """Name a shift with its severity, within a sentence; "" if there is none."""
    shift, severity = one
    named = SHIFTS[shift].named.format(severity) if one != CLEAN else ""
    return named.replace(" 1 pixels", " 1 pixel")


def name_where(x: Comparison) -> str:
    """Name the shift, and the value of what varies, if anything does."""
    return ", ".join(filter(None, (name_shift(x.shift), name_places([x.place], [x.place]))))


def name_kind(kind: Kind) -> str:
    """Say what the images are after such a shift, in a few words."""
    shift, is_below = kind
    return (is_below and SHIFTS[shift].images_below) or SHIFTS[shift].images


def define_shifts(params: ShiftParams) -> str:
    """Say what each shift does, in one sentence each."""
    shifts = dict.fromkeys(shift for shift, _ in list_sets(params))
    return " ".join(SHIFTS[shift].what for shift in shifts if shift in SHIFTS)


def define_training(params: AugmentationParams) -> str:
    """Say how training transforms its images, as far as test images are changed alike."""
    ranges = (
        (params.rotation, "{:g}° of rotation"),
        (params.translation, "{:g} pixels of translation"),
        (100 * params.brightness, "{:g} % of brightness"),
        (100 * params.contrast, "{:g} % of contrast"),
    )
    told = listed([words.format(most) for most, words in ranges if most])
    return f"Training changed its images by up to {told}." if told else ""


def name_places(places: Sequence[str], order: Sequence[str]) -> str:
    """Name values of what varies: at numbers, if it is or is not, with anything else.

    Three or more numbers in a row in ``order`` become "at 1 to 4". "" if the only place has no
    name.
    """
    if "" in places:
        return ""
    if not all(map(is_number, places)):
        if set(places) == set(_YES_OR_NO):
            return "either way"
        return _YES_OR_NO.get(places[0]) or f"with {listed(places)}"
    runs: list[list[str]] = []
    for place in places:
        if runs and order.index(place) == order.index(runs[-1][-1]) + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    short = [[f"{run[0]} to {run[-1]}"] if len(run) > 2 else run for run in runs]
    return f"at {listed([word for run in short for word in run])}"
