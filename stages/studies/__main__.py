"""Many trainings for one table: a CSV file is both the plan and the record of a study.

Each row is a training. The columns ``model`` (bn, gn or ln) and ``seed`` say which; a column
named like a parameter (``train.batch_size``, or ``model.l1`` for that of the row's own model)
holds a value that differs from params.yaml. The other columns are results, of clean images and the
final weights: ``train_accuracy``; ``test_loss`` and ``test_accuracy`` or, where some are held out,
those of the validation images (with --seeds those of the test images too); and ``recipe``, a
digest of the parameters that decide them beside the seed. Accuracies are fractions. Rows without
results, or with those of another recipe, are trained, as many at once as there are cores.

    python -m stages.studies reports/seeds.csv --seeds 5    # the rows of five seeds a model
    python -m stages.studies reports/fast.csv               # the rows that the file has

Beside the table stands its summary for people, of the same name with the ending .md.
"""

import csv
import io
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from functools import cache
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from stages.core.dataset import Dataset, Split
from stages.core.errors import ParamsError, PipelineError
from stages.core.files import read_bytes, write_text
from stages.core.machine import count_workers, set_up_machine
from stages.core.params import MODELS, DataParams, Params, load_params, validate
from stages.core.process import (
    ArgumentParser,
    end_with,
    memory_errors_named,
    on_interrupt,
    run_as_command,
)
from stages.core.recipe import Recipe
from stages.core.yaml12 import load_yaml
from stages.model.scoring import compute_logits, score
from stages.preparation.sources import RAW
from stages.preparation.splitting import prepare
from stages.studies.summary import RESULTS, summarize
from stages.training.loop import Training

Row = dict[str, str]
Job = tuple[int, str, Params, bool]  # number, model, its parameters, whether to use the test set


def main(path: Path, num_seeds: int) -> None:
    """Train what ``path`` plans and has no results of; write each result as it comes.

    Raises:
        PipelineError: the table is missing or is none, or trainings failed; the others are done
            before that is said.
    """
    if path.suffix != ".csv":  # .md would be overwritten by the table's own summary
        raise PipelineError(f"the table {path} is no .csv file; name it so")
    params = load_params()
    rows = _read_rows(path) if path.exists() or not num_seeds else []
    rows = _with_seeds(rows, num_seeds)
    _check_one_split(rows, params)
    with_test = num_seeds > 0
    todo = [i for i, row in enumerate(rows) if not _is_done(row, params, with_test)]
    for i in todo:  # the summary is of one recipe
        rows[i] = {key: text for key, text in rows[i].items() if key not in RESULTS}
    print(f"{path}: {len(todo)} of {len(rows)} trainings to do", flush=True)
    failures = []
    on_interrupt(signal.default_int_handler)  # an exception, for the workers are to be ended
    with closing(_train_rows({i: rows[i] for i in todo}, params, with_test)) as results:
        for i, result in results:
            if isinstance(result, PipelineError):
                failures.append(f"{_name(rows[i])} ({result})")
                continue
            rows[i] |= result | {"recipe": _digest(rows[i], params)}
            _write_rows(path, rows)
            print(rows[i], flush=True)
    if rows:
        _write_rows(path, rows)
    if failures:
        raise PipelineError(
            f"{len(failures)} of {len(todo)} trainings failed: {', '.join(failures)}"
        )


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
            target: Any = content
            for section in sections:
                target = target.get(section) if isinstance(target, dict) else None
            if not isinstance(target, dict):
                raise ParamsError(f"the column {key} names no parameter")
            try:
                target[name] = load_yaml(text.encode())
            except ValueError:
                raise ParamsError(f"the column {key} has the value {text!r}") from None
    return validate(content, f"the row {row}")


def _name(row: Row) -> str:
    return " ".join(text if key == "model" else f"{key} {text}" for key, text in row.items())


def _is_done(row: Row, params: Params, with_test: bool) -> bool:
    held_out = params_of(row, params).data.validation_images > 0
    needed = {"validation_accuracy"} if held_out else {"test_accuracy"}
    needed |= {"test_accuracy"} if with_test else set()
    return needed <= row.keys() and row.get("recipe") == _digest(row, params)


def _digest(row: Row, params: Params) -> str:
    return Recipe.of(row["model"], params_of(row, params)).digest


def _with_seeds(rows: list[Row], num_seeds: int) -> list[Row]:
    """Add the rows that seeds 0 to ``num_seeds`` - 1 of each model lack."""
    there = {(row["model"], row["seed"]) for row in rows}
    wanted = [(model, str(seed)) for model in MODELS for seed in range(num_seeds)]
    missing = [key for key in wanted if key not in there]
    return rows + [{"model": model, "seed": seed} for model, seed in missing]


def _train_rows(
    rows: dict[int, Row], params: Params, with_test: bool
) -> Iterator[tuple[int, Row | PipelineError]]:
    """Train ``rows``, several at once; yield the results of each, or its fault, by number."""
    workers = count_workers(params.train, len(rows))
    jobs = [(i, row["model"], params_of(row, params), with_test) for i, row in rows.items()]
    while jobs:
        done = set()
        with suppress(BrokenProcessPool):  # something killed a worker: one of the first not done
            for number, result in _train_in_pool(jobs, workers):
                done.add(number)
                yield number, result
        jobs = [job for job in jobs if job[0] not in done]
        suspects, jobs = jobs[:workers], jobs[workers:]
        for suspect in suspects:  # again, alone
            try:
                yield from _train_in_pool([suspect], 1)
            except BrokenProcessPool:
                yield suspect[0], PipelineError("killed; is there too little memory?")


def _train_in_pool(jobs: list[Job], workers: int) -> Iterator[tuple[int, Row | PipelineError]]:
    """Train ``jobs``, each in one of ``workers`` processes; yield the results as they come.

    Raises:
        BrokenProcessPool: something killed a worker; the others are ended too.
    """
    pool = ProcessPoolExecutor(workers, get_context("spawn"), end_with, initargs=(os.getpid(),))
    with pool:
        try:
            with _interrupts_blocked():
                trainings = [pool.submit(_train, job) for job in jobs]
                pool.submit(os.getpid)  # only now a pool notices the death of its last worker
            for training in as_completed(trainings):
                yield training.result()
        finally:
            for worker in active_children():
                worker.terminate()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Have processes started in the block ignore Ctrl-C from their start: this one ends them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _train(job: Job) -> tuple[int, Row | PipelineError]:
    """Train one model to the end; return its losses and accuracies, or why there are none."""
    number, model, params, with_test = job
    try:
        with memory_errors_named():
            return number, _result(model, params, with_test)
    except PipelineError as error:
        return number, error


def _result(model: str, params: Params, with_test: bool) -> Row:
    device = set_up_machine(params.train)
    dataset, test = _read_dataset(params.data)
    training = Training(Recipe.of(model, params), dataset, device)
    while not training.is_finished:
        training.run_epoch()
    splits = [dataset.followed, *([test] if with_test and test is not dataset.followed else [])]
    row = {}
    for split in (*splits, dataset.train):
        logits = compute_logits(training.result, split, dataset.pixels, device)
        scored = score(logits, split.labels)
        row |= {f"{split.name}_loss": f"{scored.loss:.6f}"} if split is not dataset.train else {}
        row[f"{split.name}_accuracy"] = f"{scored.accuracy:.6f}"
    return row


@cache
def _read_dataset(params: DataParams) -> tuple[Dataset, Split]:
    (train, *validation, test), pixels = prepare(RAW, params)
    return Dataset(train, validation[0] if validation else test, pixels), test


def _check_one_split(rows: list[Row], params: Params) -> None:
    """Refuse a table whose accuracies would be of different images."""
    held_out = {params_of(row, params).data.validation_images > 0 for row in rows}
    if len(held_out) > 1:
        raise PipelineError(
            "some rows hold out validation images and some do not; make two tables of them"
        )


def _read_rows(path: Path) -> list[Row]:
    content = read_bytes(path, "plan a study in it first (see stages/studies/__main__.py)")
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode()), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PipelineError(f"{path} is no CSV file ({error})") from None
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


def _write_rows(path: Path, rows: list[Row]) -> None:
    """Write the table, and its summary for people beside it."""
    text = io.StringIO()
    columns = dict.fromkeys(key for row in rows for key in row)
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
    write_text(path.with_suffix(".md"), summarize(rows))


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m stages.studies")
    parser.add_argument("table", type=Path, help="the CSV file, both plan and record")
    parser.add_argument("--seeds", type=int, default=0, help="plan seeds 0 to N-1 of each model")
    arguments = parser.parse_args()
    if arguments.seeds < 0:
        parser.error(f"--seeds is {arguments.seeds}; allowed: 0 or more")
    run_as_command("study", lambda: main(arguments.table, arguments.seeds))
