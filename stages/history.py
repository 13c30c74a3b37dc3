"""The course of a training: a row an epoch, as CSV."""

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.errors import PipelineError
from stages.files import read_bytes, write_text
from stages.scoring import Score


@dataclass(frozen=True)
class Epoch:
    """One epoch: its last learning rate, and the scores of two splits.

    ``train`` is measured during the epoch, on augmented images with dropout, while the
    weights change; ``followed`` after it, on clean images of the split called
    ``followed_split`` ("test" or "validation").
    """

    number: int  # from 1
    learning_rate: float
    train: Score
    followed: Score
    followed_split: str

    def columns(self) -> dict[str, float]:
        """Return the row of the CSV file: numbers of six significant digits."""
        values = {"epoch": self.number, "learning_rate": self.learning_rate}
        for split, score in (("train", self.train), (self.followed_split, self.followed)):
            values |= {f"{split}_{name}": value for name, value in asdict(score).items()}
        return {name: float(f"{value:.6g}") for name, value in values.items()} | {
            "epoch": self.number
        }


JOINED_PATH = Path("reports/history.csv")


def history_path(model: str) -> Path:
    """Return where the history of ``model`` (bn, gn or ln) is."""
    return Path("models", f"{model}.history.csv")


def write_history(path: Path, epochs: Iterable[Epoch]) -> None:
    """Write ``epochs`` as one CSV file, a row each, in one move."""
    _write_rows(path, [epoch.columns() for epoch in epochs])


def read_history(path: Path, model: str) -> list[Epoch]:
    """Read the history of ``model`` that ``write_history`` wrote.

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    remedy = f"run `dvc repro train-{model}`"
    try:
        rows = list(csv.DictReader(io.StringIO(read_bytes(path, remedy).decode())))
        split = "validation" if "validation_loss" in rows[0] else "test"
        epochs = [_parse(row, split) for row in rows]
    except (ValueError, KeyError, IndexError, TypeError, csv.Error) as error:
        raise PipelineError(f"{path} is no history of a training ({error!r}); {remedy}") from None
    _check_numbers(path, epochs, remedy)
    return epochs


def _check_numbers(path: Path, epochs: list[Epoch], remedy: str) -> None:
    if [epoch.number for epoch in epochs] != list(range(1, len(epochs) + 1)):
        raise PipelineError(f"{path} has gaps in its epochs; {remedy}")


def _parse(row: Mapping[str, str], split: str) -> Epoch:
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
    )


def write_joined(path: Path, histories: Mapping[str, list[Epoch]]) -> None:
    """Write the histories of several models as one long CSV file.

    A row for each model, split and epoch: that is what DVC's chart colours and divides by.
    """
    rows = []
    for model, epochs in histories.items():
        for split in ("train", epochs[0].followed_split):
            for epoch in epochs:
                values = epoch.columns()
                rows.append(
                    {
                        "model": model,
                        "split": split,
                        "epoch": epoch.number,
                        "learning_rate": values["learning_rate"],
                        "loss": values[f"{split}_loss"],
                        "accuracy": values[f"{split}_accuracy"],
                    }
                )
    _write_rows(path, rows)


def read_joined(path: Path = JOINED_PATH) -> dict[str, list[Epoch]]:
    """Read the histories by model that ``write_joined`` wrote.

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    remedy = "run `dvc repro evaluate`"
    try:
        rows = list(csv.DictReader(io.StringIO(read_bytes(path, remedy).decode())))
        wide: dict[str, dict[str, dict[str, str]]] = {}
        for row in rows:
            epoch = wide.setdefault(row["model"], {}).setdefault(row["epoch"], {})
            epoch |= {"epoch": row["epoch"], "learning_rate": row["learning_rate"]}
            epoch |= {f"{row['split']}_{name}": row[name] for name in ("loss", "accuracy")}
        split = "validation" if any(row["split"] == "validation" for row in rows) else "test"
        histories = {
            model: [_parse(epoch, split) for epoch in epochs.values()]
            for model, epochs in wide.items()
        }
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise PipelineError(f"{path} is no joined history ({error!r}); {remedy}") from None
    for epochs in histories.values():
        _check_numbers(path, epochs, remedy)
    return histories


def _write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
