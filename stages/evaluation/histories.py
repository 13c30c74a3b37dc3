"""The histories of the three trainings: read one by one, written as one long CSV file."""

from collections.abc import Mapping
from pathlib import Path

from stages.core.errors import PipelineError
from stages.core.params import MODELS
from stages.model.history import Epoch, history_path, read_history, write_rows

JOINED_PATH = Path("reports/history.csv")


def read_histories(num_epochs: int, split: str) -> dict[str, list[Epoch]]:
    """Read the history of each model: ``num_epochs``, each scored on the images of ``split``.

    Raises:
        PipelineError: a file is missing, damaged, or holds something else.
    """
    histories = {model: read_history(history_path(model), model) for model in MODELS}
    for model, epochs in histories.items():
        if len(epochs) != num_epochs or epochs[0].followed_split != split:
            raise PipelineError(
                f"{history_path(model)} has {len(epochs)} epochs, scored on "
                f"{epochs[0].followed_split} images, not {num_epochs} on {split} images; "
                f"run `dvc repro train-{model}`"
            )
    return histories


def write_joined(path: Path, histories: Mapping[str, list[Epoch]]) -> None:
    """Write the histories of several models as one long CSV file.

    One row for each model, split and epoch: DVC's charts colour and divide by these columns. The
    error, in percent, is there for them: accuracies near 1 cannot be told apart in a chart.
    """
    rows = []
    for model, epochs in histories.items():
        for split in ("train", epochs[0].followed_split):
            for epoch in epochs:
                values = epoch.columns()
                accuracy = values[f"{split}_accuracy"]
                rows.append(
                    {
                        "model": model,
                        "split": split,
                        "epoch": epoch.number,
                        "learning_rate": values["learning_rate"],
                        "loss": values[f"{split}_loss"],
                        "accuracy": accuracy,
                        "error": round(100 * (1 - float(accuracy)), 4),
                    }
                )
    write_rows(path, rows)
