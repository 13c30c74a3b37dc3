"""Why the models differ: `python -m stages.studies.causes` intervenes in their kept networks.

It takes the networks of the study of seeds, trains nothing, and writes what each intervention did
to their accuracy (records/causes.py) as soon as that is known. So it can be interrupted at any
time: started again, it computes what is missing.
"""

import signal
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from torch import nn

from stages.analysis.causes import choose_prior
from stages.core.dataset import Pixels, Split
from stages.core.errors import PipelineError
from stages.core.machine import count_workers, set_up_machine
from stages.core.params import DataParams, Params, load_params
from stages.core.process import on_interrupt, run_as_command
from stages.core.progress import Progress
from stages.core.recipe import Recipe
from stages.evaluation.interventions import (
    distance,
    freeze,
    list_layers,
    measure,
    of_channels,
    predict,
    write_out,
)
from stages.evaluation.shifted_images import shift_images
from stages.evaluation.shifts import list_sets
from stages.model.network import network_for
from stages.preparation.sources import RAW
from stages.preparation.splitting import prepare
from stages.records import causes as record
from stages.records.causes import Case, Distance, Row
from stages.records.declaration import read_studies
from stages.records.networks import networks_path, read_networks
from stages.records.plan import list_trainings
from stages.records.record import Key
from stages.studies.local import run_jobs

STUDY = "seeds"
CHOICE_NETWORKS = 5  # of bn, by which it is chosen what fixed statistics count as
FEW_IMAGES = 2_000  # of training: to choose by, and clean ones to freeze; of the test: to compare
CPU = torch.device("cpu")
R = TypeVar("R", Row, Distance)


@dataclass(frozen=True)
class Job:
    """Interventions in one network."""

    key: Key
    recipe: Recipe
    weights: bytes = field(repr=False)  # safetensors
    cases: tuple[Case, ...] = ()

    @property
    def name(self) -> str:
        """The network and the images of the first case, for people."""
        first = self.cases[0]
        return f"{self.key[0]} seed {self.key[1]}, {first.split} {first.shift} {first.severity:g}"


def main() -> None:
    """Add to both tables what they lack.

    Raises:
        PipelineError: no network is kept, a table is damaged, or a process was killed.
    """
    params = load_params()
    networks = _read_networks(params)
    count = 6 + params.network.extra_blocks
    workers = count_workers(params.train, len(networks))
    on_interrupt(signal.default_int_handler)  # as an exception, so that the workers are ended

    rows = record.read_causes()
    done = {row.what for row in rows}
    chosen_by = [network for network in networks if network.key[0] == "bn"][:CHOICE_NETWORKS]
    choice = record.list_choice(count)
    jobs = [job for network in chosen_by for job in _split(network, choice, done)]
    _work_off(intervene, jobs, workers, record.PATH, rows)
    recipes = {network.key[2] for network in networks}
    prior = choose_prior(row for row in rows if row.recipe in recipes)
    jobs = [
        job
        for network in networks
        for job in _split(network, record.list_cases(network.key[0], count, prior), done)
    ]
    _work_off(intervene, jobs, workers, record.PATH, rows)

    distances = record.read_distances()
    known = {distance.what for distance in distances}
    jobs = []
    for network in networks:
        cases = record.list_compared(network.key[0], count, list_sets(params.shifts))
        missing = [x for x in cases if (network.key, x.shift, x.severity, x.means) not in known]
        jobs += [replace(network, cases=tuple(missing))] * bool(missing)
    _work_off(compare, jobs, workers, record.DISTANCES_PATH, distances)


def _read_networks(params: Params) -> list[Job]:
    """Return the kept networks of the present parameters, as jobs with nothing to do yet."""
    study = read_studies()[STUDY]
    kept = read_networks(study)
    found = [
        Job(training.key, training.recipe, safetensors.torch.save(kept[training.key]))
        for training in list_trainings(study, params)
        if training.key in kept
    ]
    if not any(job.key[0] == "bn" for job in found):
        raise PipelineError(
            f"{networks_path(study)} holds no network of bn of the present parameters; run "
            "`make seeds`"
        )
    return found


def _split(network: Job, cases: Iterable[Case], done: Collection[tuple[Key, Case]]) -> list[Job]:
    """Return what is not done of ``cases``, as a job for each set of images."""
    by_images: dict[object, list[Case]] = {}
    for case in cases:
        if (network.key, case) not in done:
            images = case.split, case.shift, case.severity
            by_images.setdefault(images, []).append(case)
    return [replace(network, cases=tuple(some)) for some in by_images.values()]


def _work_off(
    run: Callable[[Job], list[R]], jobs: list[Job], workers: int, path: Path, rows: list[R]
) -> None:
    """Add to ``rows`` what ``run`` makes of ``jobs``, and write them to ``path`` after each."""
    print(f"{path}: {len(jobs)} steps to do", flush=True)
    with (
        closing(run_jobs(run, jobs, workers)) as finished,
        closing(Progress("step", len(jobs))) as progress,
    ):
        for ended, running in finished:
            for job, result in ended:
                if isinstance(result, PipelineError):
                    raise result
                rows += result
                record.write_table(path, rows)
                progress.end(f"{job.name}, {running} running")


def intervene(job: Job) -> list[Row]:
    """Return the accuracy of the job's network in each of its cases, all of the same images."""
    set_up_machine(job.recipe.train)
    splits, pixels = _read_images(job.recipe.data)
    first = job.cases[0]
    number = FEW_IMAGES if first.split == "train" else len(splits["test"])
    images = _shift(job.recipe.data, first.split, first.shift, first.severity, number)
    labels = splits[first.split].labels[:number]
    rows = []
    for fixed in dict.fromkeys(case.fixed for case in job.cases):
        network = _prepare(job.recipe, job.weights, fixed)
        cases = [case for case in job.cases if case.fixed == fixed]
        treatments = [case.treat(len(list_layers(network))) for case in cases]
        predicted = predict(network, treatments, images, pixels, CPU)
        for case, digits in zip(cases, predicted, strict=True):
            answered = digits.bincount().double() / len(digits)
            rows.append(
                Row(
                    **vars(case),
                    seed=job.key[1],
                    recipe=job.key[2],
                    accuracy=round(float((digits == labels).double().mean()), 6),
                    answer=int(answered.argmax()),
                    answered=round(float(answered.max()), 6),
                )
            )
    return rows


def compare(job: Job) -> list[Distance]:
    """Return how far, in each of the job's cases, the statistics lie from those of clean images."""
    set_up_machine(job.recipe.train)
    _, pixels = _read_images(job.recipe.data)
    network = _prepare(job.recipe, job.weights, job.cases[0].fixed)
    layers = list_layers(network)
    rows = []
    for case in job.cases:
        images = _shift(job.recipe.data, case.split, case.shift, case.severity, FEW_IMAGES)
        measured = measure(network, case.treat(len(layers)), images, pixels, CPU)
        for number, (layer, moments) in enumerate(zip(layers, measured, strict=True), start=1):
            moved = distance(of_channels(moments), layer.reference)
            mean, deviation = (round(x, 4) for x in moved)
            at = case.shift, case.severity, case.means
            rows.append(Distance(*job.key, *at, number, mean, deviation))
    return rows


@cache
def _read_images(params: DataParams) -> tuple[dict[str, Split], Pixels]:
    splits, pixels = prepare(RAW, params)
    return {split.name: split for split in splits}, pixels


@cache
def _shift(
    params: DataParams, split: str, shift: str, severity: float, number: int
) -> torch.Tensor:
    return shift_images(_read_images(params)[0][split].images[:number], shift, severity)


@lru_cache(maxsize=2)
def _prepare(recipe: Recipe, weights: bytes, fixed: str) -> nn.Module:
    """Return the network written out, with statistics of clean images or the running ones."""
    splits, pixels = _read_images(recipe.data)
    network = network_for(recipe)
    network.load_state_dict(safetensors.torch.load(weights))
    network.to(memory_format=torch.channels_last)  # a third faster
    train = splits["train"]
    clean = Split(train.name, train.images[:FEW_IMAGES], train.labels[:FEW_IMAGES])
    frozen = freeze(network, clean, pixels, CPU)
    if fixed == "running":
        for layer, own in zip(list_layers(frozen), list_layers(write_out(network)), strict=True):
            layer.fix(own.mean, own.variance)
    return frozen


if __name__ == "__main__":
    run_as_command("causes", main)
