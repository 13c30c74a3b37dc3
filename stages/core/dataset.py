"""The prepared data: which images are trained on, followed and tested, as tensors in memory."""

from dataclasses import dataclass
from pathlib import Path

import torch

from stages.core.errors import PipelineError
from stages.core.files import check_tensor, read_json, read_tensors

PREPARED = Path("data/prepared")
REMEDY = "run `dvc repro prepare-data`"


@dataclass(frozen=True)
class Split:
    """Images of one purpose: "train", "validation" or "test".

    images: uint8 [N, 1, 28, 28], grey values of 0 to 255; labels: uint8 [N], 0 to 9.
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        """Return N."""
        return len(self.labels)


@dataclass(frozen=True)
class Pixels:
    """Mean and standard deviation of the training images' pixels, on a scale of 0 to 1."""

    mean: float
    std: float


@dataclass(frozen=True)
class Dataset:
    """What a training needs: images to learn from, and images to follow it by.

    ``followed`` is the validation split where images were held out, else the test split.
    """

    train: Split
    followed: Split
    pixels: Pixels


def read_dataset(folder: Path = PREPARED) -> Dataset:
    """Read the training images, the images to follow and the statistics.

    Raises:
        PipelineError: a file is missing, damaged, or holds something else.
    """
    is_held_out = split_path(folder, "validation").exists()
    followed = read_split("validation" if is_held_out else "test", folder)
    return Dataset(read_split("train", folder), followed, _read_pixels(folder / "pixels.json"))


def read_split(name: str, folder: Path = PREPARED) -> Split:
    """Read one split.

    Raises:
        PipelineError: its file is missing, damaged, or holds something else.
    """
    path = split_path(folder, name)
    tensors, metadata = read_tensors(path, REMEDY)
    images = check_tensor(path, tensors, "images", torch.uint8, (None, 1, 28, 28), REMEDY)
    labels = check_tensor(path, tensors, "labels", torch.uint8, (len(images),), REMEDY)
    if metadata != {"split": name} or len(images) == 0 or int(labels.max()) > 9:
        raise PipelineError(f"{path} does not hold the {name} images and labels; {REMEDY}")
    return Split(name, images, labels)


def split_path(folder: Path, name: str) -> Path:
    """Return the file of the split called ``name`` (train, validation or test)."""
    return folder / f"{name}.safetensors"


def _read_pixels(path: Path) -> Pixels:
    values = read_json(path, REMEDY)
    if set(values) != {"mean", "std"} or not all(
        isinstance(value, float) and 0 < value < 1 for value in values.values()
    ):
        raise PipelineError(f"{path} is {values}, not a mean and a std within 0 to 1; {REMEDY}")
    return Pixels(**values)
