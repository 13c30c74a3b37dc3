"""What the report calls a data set, its classes, and the shifts of test images."""

from dataclasses import dataclass

from torchvision.datasets import KMNIST, FashionMNIST

from stages.analysis.shifts import Kind
from stages.core.params import DataName


@dataclass(frozen=True)
class Words:
    """The words for one data set."""

    title: str
    noun: str  # for what an image shows
    classes: tuple[str, ...]  # in the order of the labels

    @property
    def longest(self) -> int:
        """The letters of the longest class."""
        return max(map(len, self.classes))


WORDS: dict[DataName, Words] = {
    "mnist": Words("MNIST", "digit", tuple("0123456789")),
    "fashion-mnist": Words("Fashion-MNIST", "fashion item", tuple(FashionMNIST.classes)),
    "kmnist": Words("KMNIST", "character", tuple(KMNIST.classes)),
}


@dataclass(frozen=True)
class Shift:
    """A shift in words."""

    named: str  # with its severity
    axis: str  # what the severity is
    what: str  # what is done, a sentence
    images: str  # what the images then are
    images_below: str = ""  # the same, for severities below the one that changes nothing


SHIFTS = {
    "contrast": Shift(
        "contrast x {:g}",
        "factor",
        "Contrast: each pixel's distance from the mean of its image is multiplied by the factor.",
        images="of higher contrast",
        images_below="of lower contrast",
    ),
    "brightness": Shift(
        "brightness {:+g}",
        "added (black 0, white 1)",
        "Brightness: one number is added to all pixels, where black is 0 and white is 1.",
        images="brighter",
        images_below="darker",
    ),
    "noise": Shift(
        "noise of {:g}",
        "deviation (black 0, white 1)",
        "Noise: normal noise of this standard deviation, on the same scale, is added to the "
        "pixels; its draws are always the same.",
        images="noisier",
    ),
    "rotation": Shift(
        "rotation by {:g}°",
        "degrees",
        "Rotation: the image is turned counter-clockwise.",
        images="rotated",
    ),
    "translation": Shift(
        "translation by {:g} pixels",
        "pixels",
        "Translation: the image is moved to the right.",
        images="moved",
    ),
    "blur": Shift(
        "blur of {:g} pixels",
        "deviation (pixels)",
        "Blur: a Gaussian of this standard deviation is applied.",
        images="blurred",
    ),
    "inversion": Shift(
        "inversion", "", "Inversion: black becomes white and white black.", images="inverted"
    ),
}


def name_shift(one: tuple[str, float]) -> str:
    """Name a shift with its severity, within a sentence."""
    shift, severity = one
    return SHIFTS[shift].named.format(severity)


def name_kind(kind: Kind) -> str:
    """Say what the images are after such a shift, in a few words."""
    shift, is_below = kind
    return (is_below and SHIFTS[shift].images_below) or SHIFTS[shift].images
