"""The courses of the three trainings in one long CSV file."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from stages.core.errors import PipelineError
from stages.core.files import read_bytes
from stages.model.history import Epoch, check_numbers, parse_epoch, write_rows

JOINED_PATH = Path("reports/history.csv")


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
    write_rows(path, rows)


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
            model: [parse_epoch(epoch, split) for epoch in epochs.values()]
            for model, epochs in wide.items()
        }
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise PipelineError(f"{path} is no joined history ({error!r}); {remedy}") from None
    for epochs in histories.values():
        check_numbers(path, epochs, remedy)
    return histories
