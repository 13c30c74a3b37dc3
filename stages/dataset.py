"""The prepared data: which images are trained on, followed and tested, as tensors in memory."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from stages.errors import PipelineError
from stages.files import check_tensor, read_json, read_tensors, write_json, write_tensors

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


def hold_out(split: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Take ``count`` images out of ``split``, from each digit in proportion (stratified).

    Returns:
        The remaining images under the split's own name, and the "validation" images, both in
        their former order. The same seed takes the same images.
    """
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(split), dtype=torch.bool)
    for digit, quota in enumerate(_quotas(torch.bincount(split.labels, minlength=10), count)):
        of_digit = (split.labels == digit).nonzero().squeeze(1)
        chosen = torch.randperm(len(of_digit), generator=generator)[:quota]
        held_out[of_digit[chosen]] = True
    return (
        Split(split.name, split.images[~held_out], split.labels[~held_out]),
        Split("validation", split.images[held_out], split.labels[held_out]),
    )


def _quotas(available: torch.Tensor, count: int) -> list[int]:
    """Share ``count`` over the digits in proportion, rounding by the largest remainders."""
    exact = available.double() * count / available.sum()
    quotas = exact.floor().long()
    largest_remainders = (exact - quotas).argsort(descending=True, stable=True)
    quotas[largest_remainders[: count - int(quotas.sum())]] += 1
    return quotas.tolist()


def measure_pixels(images: torch.Tensor) -> Pixels:
    """Return mean and population standard deviation of uint8 ``images``, exactly summed."""
    counts = torch.bincount(images.flatten().int(), minlength=256).double()
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = (counts * values).sum() / counts.sum()
    variance = (counts * (values - mean) ** 2).sum() / counts.sum()
    return Pixels(float(mean), float(variance.sqrt()))


def write_prepared(folder: Path, splits: list[Split], pixels: Pixels) -> None:
    """Write ``splits`` and the statistics to ``folder``; remove any other split's file."""
    for split in splits:
        tensors = {"images": split.images, "labels": split.labels}
        write_tensors(_split_path(folder, split.name), tensors, {"split": split.name})
    for path in folder.glob("*.safetensors"):
        if path.stem not in {split.name for split in splits}:
            path.unlink()
    write_json(folder / "pixels.json", asdict(pixels))


def read_dataset(folder: Path = PREPARED) -> Dataset:
    """Read the training images, the images to follow and the statistics.

    Raises:
        PipelineError: a file is missing, damaged, or holds something else.
    """
    is_held_out = _split_path(folder, "validation").exists()
    followed = read_split("validation" if is_held_out else "test", folder)
    return Dataset(read_split("train", folder), followed, _read_pixels(folder / "pixels.json"))


def read_split(name: str, folder: Path = PREPARED) -> Split:
    """Read one split.

    Raises:
        PipelineError: its file is missing, damaged, or holds something else.
    """
    path = _split_path(folder, name)
    tensors, metadata = read_tensors(path, REMEDY)
    images = check_tensor(path, tensors, "images", torch.uint8, (None, 1, 28, 28), REMEDY)
    labels = check_tensor(path, tensors, "labels", torch.uint8, (len(images),), REMEDY)
    if metadata != {"split": name} or len(images) == 0 or int(labels.max()) > 9:
        raise PipelineError(f"{path} does not hold the {name} images and labels; {REMEDY}")
    return Split(name, images, labels)


def _split_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _read_pixels(path: Path) -> Pixels:
    values = read_json(path, REMEDY)
    if set(values) != {"mean", "std"} or not all(
        isinstance(value, float) and 0 < value < 1 for value in values.values()
    ):
        raise PipelineError(f"{path} is {values}, not a mean and a std within 0 to 1; {REMEDY}")
    return Pixels(**values)
