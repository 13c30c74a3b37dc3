"""The prepared data as tensors in memory: training, validation and test images."""

from dataclasses import dataclass
from pathlib import Path

import torch

from stages.core.errors import PipelineError
from stages.core.files import check_tensor, read_json, read_tensors

PREPARED = Path("data/prepared")
REMEDY = "run `dvc repro prepare-data`"


@dataclass(frozen=True)
class Split:
    """The images of one split, called "train", "validation" or "test".

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
    """Mean and standard deviation of the training images' pixels, scaled to 0 to 1."""

    mean: float
    std: float

    def standardize(self, images: torch.Tensor) -> torch.Tensor:
        """Standardize float ``images`` of 0 to 1 in place, to mean 0 and standard deviation 1."""
        return images.sub_(self.mean).div_(self.std)


def to_floats(images: torch.Tensor) -> torch.Tensor:
    """Return uint8 ``images``, grey values of 0 to 255, as float32 of 0 to 1."""
    return images.float().div_(255)


@dataclass(frozen=True)
class Dataset:
    """What a training needs: images to learn from, and images to score it on after each epoch.

    ``followed`` is the validation split if images were held out, otherwise the test split.
    """

    train: Split
    followed: Split
    pixels: Pixels


def read_dataset(folder: Path = PREPARED) -> Dataset:
    """Read the training images, the images each epoch is scored on, and the pixel statistics.

    Raises:
        PipelineError: a file is missing, damaged or of another kind.
    """
    is_held_out = split_path(folder, "validation").exists()
    pixels_path = folder / "pixels.json"
    followed = read_split("validation" if is_held_out else "test", folder)
    pixels = parse_pixels(pixels_path, read_json(pixels_path, REMEDY), REMEDY)
    return Dataset(read_split("train", folder), followed, pixels)


def read_split(name: str, folder: Path = PREPARED) -> Split:
    """Read one split.

    Raises:
        PipelineError: its file is missing, damaged or of another kind.
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


def parse_pixels(path: Path, values: object, remedy: str) -> Pixels:
    """Return ``values``, read from ``path``, as statistics.

    Raises:
        PipelineError: they are not statistics.
    """
    if not (
        isinstance(values, dict)
        and set(values) == {"mean", "std"}
        and all(isinstance(value, float) and 0 < value < 1 for value in values.values())
    ):
        raise PipelineError(
            f"{path} holds the pixels {values}, not a mean and a std within 0 to 1; {remedy}"
        )
    return Pixels(**values)
