"""Many trainings for one table: a CSV file is both the plan and the record of a study.

Each row is a training. The columns ``model`` (bn, gn or ln) and ``seed`` say which; a column
named like a parameter (``train.batch_size``, or ``model.l1`` for that of the row's own model)
holds a value that differs from params.yaml. The other columns are results:
``train_accuracy``, and ``test_loss`` and ``test_accuracy`` or those of the validation images, on
clean images with the final weights (accuracies are fractions), and ``recipe``, a digest of all
parameters but the seed. Rows without results, or with those of another recipe, are trained, as
many at once as there are cores.

    python -m stages.study reports/seeds.csv --seeds 5    # the rows of five seeds a model
    python -m stages.study reports/search/finalists.csv   # the rows that the file has

Beside the table stands its summary for people, of the same name with the ending .md.
"""

import csv
import io
import signal
from collections.abc import Iterator
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from stages.command import ArgumentParser, prepare_process, run_as_command
from stages.dataset import Dataset
from stages.errors import ParamsError
from stages.files import read_bytes, write_text
from stages.machine import set_up_machine
from stages.params import MODELS, DataParams, Params, load_params, validate
from stages.prepare_data import RAW, prepare
from stages.recipe import recipe_digest
from stages.scoring import compute_logits, score
from stages.summary import summarize
from stages.training import Training
from stages.workers import count_workers
from stages.yaml12 import load_yaml

Row = dict[str, str]


def main(path: Path, num_seeds: int) -> None:
    """Train what ``path`` plans and has no results of; write each result as it comes."""
    params = load_params()
    rows = _plan_seeds(num_seeds) if num_seeds else _read_rows(path)
    if num_seeds and path.exists():
        _take_over(_read_rows(path), rows)
    todo = [i for i, row in enumerate(rows) if row.get("recipe") != _digest(row, params)]
    print(f"{path}: {len(todo)} of {len(rows)} trainings to do", flush=True)
    for done, (i, result) in enumerate(_train_rows({i: rows[i] for i in todo}, params), start=1):
        rows[i] |= result | {"recipe": _digest(rows[i], params)}
        _write_rows(path, rows)
        print(f"{done}/{len(todo)}: {rows[i]}", flush=True)
    write_text(path.with_suffix(".md"), summarize(rows))


def params_of(row: Row, params: Params) -> Params:
    """Return ``params`` with the seed and the parameters that ``row`` names.

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
            target: dict[str, Any] = content
            for section in sections:
                target = target.setdefault(section, {})
            target[name] = load_yaml(text.encode())
    return validate(content, f"the row {row}")


def _digest(row: Row, params: Params) -> str:
    return recipe_digest(row["model"], params_of(row, params))


def _plan_seeds(num_seeds: int) -> list[Row]:
    return [{"model": model, "seed": str(seed)} for model in MODELS for seed in range(num_seeds)]


def _take_over(old: list[Row], new: list[Row]) -> None:
    """Give the rows of ``new`` what ``old`` has for the same model and seed."""
    known = {(row["model"], row["seed"]): row for row in old}
    for row in new:
        row |= known.get((row["model"], row["seed"]), {})


def _train_rows(rows: dict[int, Row], params: Params) -> Iterator[tuple[int, Row]]:
    """Train ``rows``, several at once, and yield the results of each with its number."""
    if not rows:
        return
    workers = count_workers(params.train, len(rows))
    jobs = [(i, row["model"], params_of(row, params)) for i, row in rows.items()]
    with get_context("spawn").Pool(workers, initializer=_prepare_worker) as pool:
        yield from pool.imap_unordered(_train, jobs)


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    prepare_process()


def _train(job: tuple[int, str, Params]) -> tuple[int, Row]:
    """Train one model to the end and return its accuracies."""
    number, model, params = job
    device = set_up_machine(params.train)
    dataset = _read_dataset(params.data)
    training = Training(model, params, dataset, device)
    while not training.is_finished:
        training.run_epoch()
    train_logits = compute_logits(training.result, dataset.train, dataset.pixels, device)
    split, last = dataset.followed.name, training.epochs[-1].followed
    return number, {
        f"{split}_loss": f"{last.loss:.6f}",
        f"{split}_accuracy": f"{last.accuracy:.6f}",
        "train_accuracy": f"{score(train_logits, dataset.train.labels).accuracy:.6f}",
    }


@cache
def _read_dataset(params: DataParams) -> Dataset:
    (train, *validation, test), pixels = prepare(RAW, params)
    return Dataset(train, validation[0] if validation else test, pixels)


def _read_rows(path: Path) -> list[Row]:
    text = read_bytes(path, "plan a study in it first (see stages/study.py)").decode()
    return [{k: v for k, v in row.items() if v} for row in csv.DictReader(io.StringIO(text))]


def _write_rows(path: Path, rows: list[Row]) -> None:
    text = io.StringIO()
    columns = dict.fromkeys(key for row in rows for key in row)
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m stages.study")
    parser.add_argument("table", type=Path, help="the CSV file, both plan and record")
    parser.add_argument("--seeds", type=int, default=0, help="plan seeds 0 to N-1 of each model")
    arguments = parser.parse_args()
    run_as_command("study", lambda: main(arguments.table, arguments.seeds))
