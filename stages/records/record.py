"""The record of a study: a CSV file with a row for each training.

``model`` and ``seed`` say which training it was; columns named like parameters hold what varies;
``recipe`` is the digest of all parameters that decide it, except for the seed. ``outcome`` says
that it finished, or where it diverged; ``machine`` is the type of machine that ran it, ``version``
that of its arithmetic (core/recipe.py), which ``recipe`` contains. The other
columns are results of the final weights on clean images, accuracies as fractions: see job.py.
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from stages.core.errors import PipelineError
from stages.core.files import read_bytes
from stages.core.params import MODELS, STUDY_MODELS
from stages.model.history import write_rows as write_table

Row = dict[str, str]
Key = tuple[str, int, str]  # model, seed and recipe: what makes two rows the same training

RESULTS = (
    *("test_loss", "test_accuracy", "validation_loss", "validation_accuracy", "train_accuracy"),
    *("recomputed_accuracy", "batch_accuracy", "composed_accuracy"),
    *("outcome", "machine", "version", "recipe"),
)
_MODELS = (*MODELS, *STUDY_MODELS)


def read_rows(path: Path) -> list[Row]:
    """Read the rows of ``path``, each without its empty cells; none if there is no file.

    Raises:
        PipelineError: the file is not the record of a study.
    """
    if not path.exists():
        return []
    remedy = f"correct it, or restore it with `git checkout {path}`"
    try:
        text = read_bytes(path, remedy).decode("utf-8-sig")  # spreadsheets put a BOM first
        header, *lines = list(csv.reader(io.StringIO(text), strict=True)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise PipelineError(f"{path} is not a CSV file ({error}); {remedy}") from None
    if not lines:  # no training is on record, whatever the header says
        return []
    if fault := _fault_of_header(header):
        raise PipelineError(f"{path}: {fault}; {remedy}")
    rows, keys = [], set()
    for number, line in enumerate(filter(None, lines), start=1):
        cells = zip(header, line, strict=False)
        row = {column: text for column, text in cells if text or column == "outcome"}
        fault = f"has {len(line)} cells for {len(header)} columns" * (len(line) != len(header))
        fault = fault or _fault_of_row(row)
        if not fault and key_of(row) in keys:
            fault = "repeats the training of an earlier row; remove one of them"
        if fault:
            raise PipelineError(f"{path}: row {number} {fault}; {remedy}")
        keys.add(key_of(row))
        rows.append(row)
    return rows


def _fault_of_header(header: list[str]) -> str:
    for i, column in enumerate(header):
        if column in header[:i]:
            return f"the column {column!r} appears twice"
        if column == "train.seed":
            return "the column 'train.seed' contradicts the column seed"
        if column not in ("model", "seed", *RESULTS) and "." not in column:
            return f"there is no column {column!r}"
    missing = [column for column in ("model", "seed", "recipe") if column not in header]
    return f"the column {missing[0]!r} is missing" if missing else ""


def _fault_of_row(row: Row) -> str:
    for column in ("model", "recipe"):
        if not row.get(column):
            return f"has no {column}"
    if not re.fullmatch("r[0-9a-z]+", row["recipe"]):
        return f"has the recipe {row['recipe']!r}, not a digest such as r0a41daf3"
    if not re.fullmatch(r"0|[1-9]\d{0,9}", row.get("seed", ""), re.ASCII):
        return f"has the seed {row.get('seed', '')!r}, not a whole number such as 0 or 12"
    if row["model"] not in _MODELS:
        return f"has the model {row['model']!r}, not one of {', '.join(_MODELS)}"
    if not re.fullmatch(r"ok|diverged at epoch \d+, step \d+", row.get("outcome", "ok")):
        return f"has the outcome {row['outcome']!r}, not ok or diverged at epoch 1, step 2"
    for column in (x for x in RESULTS if x.endswith(("_accuracy", "_loss"))):
        text, is_fraction = row.get(column, "0"), column.endswith("_accuracy")
        is_number = re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII)
        if not is_number or (is_fraction and float(text) > 1):
            kind = "a fraction from 0 to 1" if is_fraction else "a number from 0"
            return f"has the {column} {text!r}, not {kind}"
    return ""


def key_of(row: Row) -> Key:
    """Return what tells the row's training from all others."""
    return row["model"], int(row["seed"]), row["recipe"]


def merge(rows: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Return ``rows`` and ``new``, without those of ``rows`` whose training ``new`` repeats."""
    repeated = set(map(key_of, new))
    return [*(row for row in rows if key_of(row) not in repeated), *new]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the record, with the columns that any row has; a row without an outcome is ok."""
    rows = [{"outcome": "ok"} | row for row in rows]
    used = {column: None for row in rows for column in row}
    varied = [column for column in used if column not in ("model", "seed", *RESULTS)]
    columns = ["model", "seed", *varied, *(column for column in RESULTS if column in used)]
    write_table(path, [{column: row.get(column, "") for column in columns} for row in rows])
