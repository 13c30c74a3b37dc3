"""Stage prepare-data: MNIST's raw files, verified, to tensors ready for training."""

from pathlib import Path

from stages import mnist
from stages.command import run_as_command
from stages.dataset import PREPARED, Split, hold_out, measure_pixels, write_prepared
from stages.params import load_params

RAW = Path("data/raw")


def main() -> None:
    """Write the train and test splits, and a validation split where params.yaml wants one."""
    params = load_params().data
    mnist.download_missing(RAW)
    train_files, test_files = mnist.TRAIN_FILES, mnist.TEST_FILES
    splits = [Split("train", *mnist.read_files(RAW, train_files))]
    if params.validation_images > 0:
        splits = list(hold_out(splits[0], params.validation_images, params.split_seed))
    pixels = measure_pixels(splits[0].images)
    splits.append(Split("test", *mnist.read_files(RAW, test_files)))
    write_prepared(PREPARED, splits, pixels)
    print(", ".join(f"{len(split)} {split.name} images" for split in splits))


if __name__ == "__main__":
    run_as_command("prepare-data", main)
