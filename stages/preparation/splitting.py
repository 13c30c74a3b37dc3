"""Training, validation and test splits, and the statistics of their pixels."""

from dataclasses import asdict, replace
from pathlib import Path

import torch

from stages.core.dataset import Pixels, Split, split_path
from stages.core.files import write_json, write_tensors, write_text
from stages.core.params import DataParams
from stages.preparation import sources


def prepare(raw: Path, params: DataParams) -> tuple[list[Split], Pixels]:
    """Return the splits train, validation (where ``params`` holds images out) and test.

    The data set's files are in the folder ``raw``/NAME; those that are missing are downloaded.
    Of what is not held out, at most ``params.training_images`` remain. The pixel statistics are
    those of the training images that remain.

    Raises:
        PipelineError: a file is missing and cannot be downloaded, or is not the published one.
    """
    sources.download_missing(raw, params.name)
    train = Split("train", *sources.read_images(raw, params.name, "train"))
    followed = [Split("test", *sources.read_images(raw, params.name, "test"))]
    if params.validation_images > 0:
        train, validation = hold_out(train, params.validation_images, params.split_seed)
        followed.insert(0, validation)
    if params.training_images < len(train):
        train = replace(hold_out(train, params.training_images, params.split_seed)[1], name="train")
    return [train, *followed], measure_pixels(train.images)


def hold_out(split: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Take ``count`` images out of ``split``, from each class in proportion (stratified).

    Returns:
        The remaining images under the split's own name, and the "validation" images, both in
        their former order. The same seed takes the same images.
    """
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(split), dtype=torch.bool)
    for label, quota in enumerate(_quotas(torch.bincount(split.labels, minlength=10), count)):
        of_class = (split.labels == label).nonzero().squeeze(1)
        chosen = torch.randperm(len(of_class), generator=generator)[:quota]
        held_out[of_class[chosen]] = True
    return (
        Split(split.name, split.images[~held_out], split.labels[~held_out]),
        Split("validation", split.images[held_out], split.labels[held_out]),
    )


def _quotas(available: torch.Tensor, count: int) -> list[int]:
    """Share ``count`` over the classes in proportion, rounding by the largest remainders."""
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
        write_tensors(split_path(folder, split.name), tensors, {"split": split.name})
    for path in folder.glob("*.safetensors"):
        if path.stem not in {split.name for split in splits}:
            path.unlink()
    write_json(folder / "pixels.json", asdict(pixels))
    # This one is in git, so that a clone has the folder: `dvc repro --pull` finds it changed and
    # has it written, where it would take a missing one for pulled.
    write_text(folder / ".gitignore", "*\n!.gitignore\n")
