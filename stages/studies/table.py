"""The table of a study: a CSV file that is both its plan and its record.

Each row is a training. The columns ``model`` (bn, gn or ln) and ``seed`` say which; a column
named like a parameter (``train.batch_size``, or ``model.l1`` for that of the row's own model)
holds a value that differs from params.yaml. The other columns are results, of clean images and the
final weights: ``train_accuracy``; ``test_loss`` and ``test_accuracy`` or, where some are held out,
those of the validation images (with --seeds those of the test images too); and ``recipe``, a
digest of the parameters that decide them beside the seed. Accuracies are fractions.
"""

import csv
import io
import re
from pathlib import Path
from typing import Any

from stages.core.errors import ParamsError, PipelineError
from stages.core.files import read_bytes, write_text
from stages.core.params import MODELS, Params, validate
from stages.core.recipe import Recipe
from stages.core.yaml12 import load_yaml
from stages.studies.summary import RESULTS, summarize

Row = dict[str, str]


def read_rows(path: Path) -> list[Row]:
    """Read the rows of ``path``, each without its empty cells.

    Raises:
        PipelineError: the file is missing or is not the table of a study.
    """
    content = read_bytes(path, "plan a study in it first (see stages/studies/table.py)")
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode()), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PipelineError(f"{path} is not a CSV file ({error})") from None
    columns = ("model", "seed", *RESULTS)
    for row in rows:
        bad = [key for key in row if key not in columns and "." not in (key or "")]
        if bad or not row.get("model") or not row.get("seed"):
            fault = f"the column {bad[0]!r}" if bad else "no model or no seed"
            raise PipelineError(
                f"{path}: a row has {fault}; columns are model, seed, results, and parameters "
                "such as train.epochs or model.l1"
            )
        if not re.fullmatch("[0-9]+", row["seed"]):
            raise PipelineError(f"{path}: a row has the seed {row['seed']!r}; use a whole number")
        for key in RESULTS[:-1]:
            if row.get(key) and not re.fullmatch(r"\d+\.\d+", row[key]):
                raise PipelineError(
                    f"{path}: a row has the {key} {row[key]!r}; restore it, or remove it to "
                    "have the row trained again"
                )
    return [{key: text for key, text in row.items() if text} for row in rows]


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write the table, and its summary for people beside it."""
    text = io.StringIO()
    columns = dict.fromkeys(key for row in rows for key in row)
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
    write_text(path.with_suffix(".md"), summarize(rows))


def with_seeds(rows: list[Row], num_seeds: int) -> list[Row]:
    """Add the rows that seeds 0 to ``num_seeds`` - 1 of each model lack."""
    there = {(row["model"], row["seed"]) for row in rows}
    wanted = [(model, str(seed)) for model in MODELS for seed in range(num_seeds)]
    missing = [key for key in wanted if key not in there]
    return rows + [{"model": model, "seed": seed} for model, seed in missing]


def recipe_of(row: Row, params: Params) -> Recipe:
    """Return the recipe of ``params`` with the seed and the parameters that ``row`` names.

    Raises:
        ParamsError: the row names an unknown model or parameter, or a value not allowed.
    """
    if row.get("model") not in MODELS:
        raise ParamsError(f"a row has the model {row.get('model')!r}; allowed: {list(MODELS)}")
    content = params.model_dump()
    for key, text in row.items():
        if text and ("." in key or key == "seed"):
            full = "train.seed" if key == "seed" else key
            *sections, name = full.replace("model.", f"models.{row['model']}.", 1).split(".")
            target: Any = content
            for section in sections:
                target = target.get(section) if isinstance(target, dict) else None
            if not isinstance(target, dict):
                raise ParamsError(f"the column {key} names no parameter")
            try:
                target[name] = load_yaml(text.encode())
            except ValueError:
                raise ParamsError(f"the column {key} has the value {text!r}") from None
    return Recipe.of(row["model"], validate(Params, content, f"the row {row}"))


def is_done(row: Row, params: Params, with_test: bool) -> bool:
    """Say whether ``row`` has all results, of the recipe that it names now."""
    recipe = recipe_of(row, params)
    needed = {f"{recipe.followed_split}_accuracy", *(["test_accuracy"] if with_test else [])}
    return needed <= row.keys() and row.get("recipe") == recipe.digest


def check_one_split(rows: list[Row], params: Params) -> None:
    """Refuse a table whose accuracies would be of different images.

    Raises:
        PipelineError: it is.
    """
    if len({recipe_of(row, params).followed_split for row in rows}) > 1:
        raise PipelineError(
            "some rows hold out validation images and some do not; make two tables of them"
        )
