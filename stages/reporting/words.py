"""What the report calls a data set and its classes."""

from dataclasses import dataclass

from torchvision.datasets import KMNIST, FashionMNIST

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
