"""Stage prepare-data: raw files, verified, to tensors ready for training."""

from stages.core.dataset import PREPARED
from stages.core.inputs import unchanged_inputs
from stages.core.params import load_params
from stages.core.process import run_as_command
from stages.preparation.sources import RAW
from stages.preparation.splitting import prepare, write_prepared


def main() -> None:
    """Write the train and test splits, and a validation split where params.yaml wants one."""
    with unchanged_inputs("prepare-data"):
        splits, pixels = prepare(RAW, load_params().data)
        write_prepared(PREPARED, splits, pixels)
    print(", ".join(f"{len(split)} {split.name} images" for split in splits))


if __name__ == "__main__":
    run_as_command("prepare-data", main)
