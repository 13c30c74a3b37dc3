"""The course of a training as CSV, one row per epoch."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.core.errors import PipelineError
from stages.core.files import read_bytes, write_text
from stages.model.scoring import Score


@dataclass(frozen=True)
class Epoch:
    """One epoch: its last learning rate, and the scores of two splits.

    ``train`` is measured during the epoch, on augmented images with dropout, while the
    weights change. ``followed`` is measured after it, on clean images of the split called
    ``followed_split`` ("test" or "validation"), with the average of the weights if one is kept;
    ``unaveraged`` on the same images, with the weights themselves.
    """

    number: int  # from 1
    learning_rate: float
    train: Score
    followed: Score
    followed_split: str
    unaveraged: Score

    def columns(self) -> dict[str, float]:
        """Return the row of the CSV file: numbers of six significant digits."""
        values = {"epoch": self.number, "learning_rate": self.learning_rate}
        scores = {
            "train": self.train,
            self.followed_split: self.followed,
            "unaveraged": self.unaveraged,
        }
        for split, score in scores.items():
            values |= {f"{split}_{name}": value for name, value in asdict(score).items()}
        return {name: float(f"{value:.6g}") for name, value in values.items()} | {
            "epoch": self.number
        }


def history_path(model: str) -> Path:
    """Return where the history of ``model`` (bn, gn or ln) is."""
    return Path("models", f"{model}.history.csv")


def write_history(path: Path, epochs: Iterable[Epoch]) -> None:
    """Write ``epochs`` as a CSV file, one row each, replacing the old file at once."""
    write_rows(path, [epoch.columns() for epoch in epochs])


def read_history(path: Path, model: str) -> list[Epoch]:
    """Read the history of ``model`` that ``write_history`` wrote.

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    remedy = f"run `dvc repro train-{model}`"
    try:
        rows = list(csv.DictReader(io.StringIO(read_bytes(path, remedy).decode())))
        split = "validation" if "validation_loss" in rows[0] else "test"
        epochs = [parse_epoch(row, split) for row in rows]
    except (ValueError, KeyError, IndexError, TypeError, csv.Error) as error:
        raise PipelineError(
            f"{path} is not the history of a training ({error!r}); {remedy}"
        ) from None
    if [epoch.number for epoch in epochs] != list(range(1, len(epochs) + 1)):
        raise PipelineError(f"{path} has gaps in its epochs; {remedy}")
    return epochs


def parse_epoch(row: Mapping[str, str], split: str) -> Epoch:
    """Return the epoch of a ``row`` that was scored on ``split``."""

    def score(name: str) -> Score:
        found = Score(float(row[f"{name}_loss"]), float(row[f"{name}_accuracy"]))
        if not (0 <= found.loss < math.inf and 0 <= found.accuracy <= 1):
            raise ValueError(f"{name} {found}")
        return found

    rate = float(row["learning_rate"])
    if not 0 <= rate < math.inf:
        raise ValueError(f"learning rate {rate}")
    return Epoch(
        number=int(row["epoch"]),
        learning_rate=rate,
        train=score("train"),
        followed=score(split),
        followed_split=split,
        unaveraged=score("unaveraged"),
    )


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write ``rows``, which have the same keys, as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
