"""Stage prepare-data: MNIST's raw files, verified, to tensors ready for training."""

from pathlib import Path

from stages import mnist
from stages.command import run_as_command
from stages.dataset import PREPARED, Pixels, Split, hold_out, measure_pixels, write_prepared
from stages.params import DataParams, load_params

RAW = Path("data/raw")


def main() -> None:
    """Write the train and test splits, and a validation split where params.yaml wants one."""
    params = load_params()
    mnist.download_missing(RAW)
    splits, pixels = prepare(RAW, params.data)
    write_prepared(PREPARED, splits, pixels)
    print(", ".join(f"{len(split)} {split.name} images" for split in splits))


def prepare(raw: Path, params: DataParams) -> tuple[list[Split], Pixels]:
    """Return the splits train, validation (where ``params`` holds images out) and test.

    The pixel statistics are those of the training images that remain.

    Raises:
        PipelineError: a file in ``raw`` is missing or is not MNIST's.
    """
    splits = [Split("train", *mnist.read_files(raw, mnist.TRAIN_FILES))]
    if params.validation_images > 0:
        splits = list(hold_out(splits[0], params.validation_images, params.split_seed))
    test = Split("test", *mnist.read_files(raw, mnist.TEST_FILES))
    return [*splits, test], measure_pixels(splits[0].images)


if __name__ == "__main__":
    run_as_command("prepare-data", main)
