"""Run the benchmark; see the package."""

import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from jinja2 import Template

from stages.core.kernels import PORTABLE
from stages.core.machine import describe_processor, describe_training
from stages.core.params import MODELS, load_params
from stages.records.declaration import read_studies
from stages.records.record import read_rows
from stages.records.results import collect
from tests.benchmarks import conventional, own
from tests.benchmarks.overhead import measure_overhead
from tests.benchmarks.timing import ROOT, TRAIN_IMAGES, Timing, timed_params

ROUNDS = 5
CORES = torch.get_num_threads()
LOADER_WORKERS = (0, 2)  # of A; the better counts
SLOWEST = "bn"  # of the models, so that the others take no longer
WARM_UP_IMAGES = 640  # of an epoch before the timed one, for a process's first steps are slower

_TimeEpoch = Callable[..., tuple[Timing, float]]  # time and peak memory (GiB), of A or of B


def measure() -> dict[str, Any]:
    """Measure everything, the ways to train in turn."""
    rounds = []
    for number in range(1, ROUNDS + 1):
        print(f"round {number} of {ROUNDS}", flush=True)
        a, b = {}, {}
        for model in MODELS:
            with _own_kernels():
                runs = [_time_alone(conventional.time_epoch, model, n) for n in LOADER_WORKERS]
            a[model] = min(runs, key=lambda run: run[0].total)
            b[model] = _time_alone(own.time_epoch, model, CORES)
        # as `make repro` runs them
        main_job, _ = _time_together(own.time_epoch, *((model, 1) for model in MODELS))
        minute = {n: _time_alone(own.time_minute_epoch, SLOWEST, n) for n in (1, CORES)}
        rounds.append({"a": a, "b": b, "main_job": main_job, "minute": minute})
    print("DVC and what saving takes", flush=True)
    params = timed_params(1)
    return {
        "optimizer": params.train.optimizer,
        "epochs": params.train.epochs,
        **_describe_minute(rounds),
        **_summarize(rounds),
        **_surroundings(rounds),
    }


@contextmanager
def _own_kernels() -> Iterator[None]:
    """Have processes started in the block use the kernels that each library would choose itself.

    That is how A is usually run. Each of them imports torch, with this module, before stages.
    """
    ours = {name: os.environ.pop(name) for name in PORTABLE if name in os.environ}
    yield
    os.environ.update(ours)


def _time_alone(time_epoch: _TimeEpoch, model: str, option: int) -> tuple[Timing, float]:
    """Return what ``time_epoch`` returns in a new process."""
    _, [result] = _time_together(time_epoch, (model, option))
    return result


def _time_together(
    time_epoch: _TimeEpoch, *calls: tuple[str, int]
) -> tuple[float, list[tuple[Timing, float]]]:
    """Make all ``calls`` of ``time_epoch`` at once, each in a new process.

    A new one, for the conventional way is faster in some processes than in others: with glibc's
    thresholds as they are, freed activations are given back at each step in some, in others not.

    Returns:
        The seconds until the last is done, and what each returned.
    """
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pools = [stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for _ in calls]
        for pool, call in zip(pools, calls, strict=True):
            pool.submit(time_epoch, *call, WARM_UP_IMAGES).result()
        start = time.perf_counter()
        epochs = [pool.submit(time_epoch, *call) for pool, call in zip(pools, calls, strict=True)]
        results = [epoch.result() for epoch in epochs]
        return time.perf_counter() - start, results


def _describe_minute(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how accurate the recipe of the study ``minute`` is, and how long it takes."""
    study = read_studies()["minute"]
    results = collect(study, load_params(ROOT / "params.yaml"), read_rows(study.record))
    epochs = int(study.set["train.epochs"])
    [cell] = results.cells[SLOWEST]
    return {
        "fast_epochs": epochs,
        "fast_model": SLOWEST,
        "fast_accuracy": round(fmean(cell.accuracy(results.column).values()), 4),
        "fast_seeds": len(cell.rows),
        "fast_seconds": {
            cores: round(epochs * median(r["minute"][cores][0].total for r in rounds))
            for cores in (1, CORES)
        },
    }


def _summarize(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    of_a = [sum(timing.total for timing, _ in r["a"].values()) for r in rounds]
    of_b = [r["main_job"] for r in rounds]
    ratios = {m: [r["a"][m][0].total / r["b"][m][0].total for r in rounds] for m in MODELS}
    ratios["main_job"] = [a / b for a, b in zip(of_a, of_b, strict=True)]
    return {
        "ratio": {job: round(median(values), 2) for job, values in ratios.items()},
        "ratio_range": {
            job: [round(end(values), 2) for end in (min, max)] for job, values in ratios.items()
        },
        "conventional": {m: _describe([r["a"][m] for r in rounds]) for m in MODELS},
        "own": {m: _describe([r["b"][m] for r in rounds]) for m in MODELS},
        "main_job": {
            "conventional_seconds": round(median(of_a), 2),
            "own_seconds": round(median(of_b), 2),
        },
    }


def _describe(runs: list[tuple[Timing, float]]) -> dict[str, float]:
    train = median(timing.train for timing, _ in runs)
    return {
        "train_seconds": round(train, 2),
        "evaluate_seconds": round(median(timing.evaluate for timing, _ in runs), 2),
        "images_per_second": round(TRAIN_IMAGES / train),
        "memory_gib": round(max(memory for _, memory in runs), 2),
    }


def _surroundings(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Measure what DVC and saving add, and describe the machine."""
    overhead = measure_overhead()
    training = timed_params(1).train.epochs * median(r["main_job"] for r in rounds)
    epoch = {m: median(r["b"][m][0].total for r in rounds) for m in MODELS}
    return {
        "dvc": {
            "nothing_to_do_seconds": round(overhead.nothing_to_do, 2),
            "status_seconds": round(overhead.status, 2),
            "outside_stages_seconds": round(overhead.outside_stages, 2),
            "share_of_full_run": round(overhead.outside_stages / training, 4),
            "train_stage_memory_gib": round(overhead.train_memory, 2),
        },
        "saving_share": {m: round(own.time_saving(m) / epoch[m], 4) for m in MODELS},
        "machine": {
            "threads": CORES,
            "system": f"{platform.system()} {platform.machine()}",
            "processor": describe_processor(),
            **describe_training(torch.device("cpu")),
        },
    }


def render(result: dict[str, Any]) -> str:
    """Return the tables of ``result``, the content of reports/benchmark.json, as Markdown."""
    text = Path(__file__).with_name("table.md.j2").read_text()
    template = Template(text, trim_blocks=True, lstrip_blocks=True)
    return template.render(models=MODELS, loaders=LOADER_WORKERS, **result)


if __name__ == "__main__":
    result = measure()
    (ROOT / "reports/benchmark.json").write_text(json.dumps(result, indent=2) + "\n")
    (ROOT / "reports/benchmark.md").write_text(render(result))
    print(render(result))
