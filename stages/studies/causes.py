"""Why the models differ: `python -m stages.studies.causes` intervenes in their kept networks.

It takes the networks of the study of seeds, trains nothing, and writes what each intervention did
to their accuracy (records/causes.py) as soon as that is known. So it can be interrupted at any
time: started again, it computes what is missing.
"""

import signal
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

import safetensors.torch
import torch
from torch import nn

from stages.core.errors import PipelineError
from stages.core.machine import count_workers, set_up_machine
from stages.core.params import DataParams, load_params
from stages.core.process import on_interrupt, run_as_command
from stages.core.progress import Progress
from stages.core.recipe import Recipe
from stages.evaluation.interventions import freeze, list_layers, predict, write_out
from stages.evaluation.shifted_images import shift_images
from stages.model.network import network_for
from stages.records.causes import PATH, Case, Row, Shift, list_cases, read_causes, write_causes
from stages.records.declaration import read_studies
from stages.records.networks import networks_path, read_networks
from stages.records.plan import list_trainings
from stages.records.record import Key
from stages.studies.job import read_dataset
from stages.studies.local import run_jobs

STUDY = "seeds"
FEW_IMAGES = 2_000  # of training, clean ones to freeze
CPU = torch.device("cpu")


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
        return f"{self.key[0]} seed {self.key[1]}, {first.shift} {first.severity:g}"


def main() -> None:
    """Add to the record what it lacks.

    Raises:
        PipelineError: no network is kept, the record is damaged, or a process was killed.
    """
    params, networks, rows = load_params(), _read_networks(), read_causes()
    layers = list(range(1, 7 + params.network.extra_blocks))
    done = {row.what for row in rows}
    jobs = [job for network in networks for job in _split(network, layers, done)]
    print(f"{PATH}: {len(jobs)} steps to do", flush=True)
    on_interrupt(signal.default_int_handler)  # as an exception, so that the workers are ended
    with (
        closing(run_jobs(intervene, jobs, count_workers(params.train, len(networks)))) as finished,
        closing(Progress("step", len(jobs))) as progress,
    ):
        for ended, running in finished:
            for job, result in ended:
                if isinstance(result, PipelineError):
                    raise result
                rows += result
                write_causes(rows)
                progress.end(f"{job.name}, {running} running")


def _read_networks() -> list[Job]:
    """Return the kept networks of the present parameters, as jobs with nothing to do yet."""
    study, params = read_studies()[STUDY], load_params()
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


def _split(network: Job, layers: list[int], done: Collection[tuple[Key, Case]]) -> list[Job]:
    """Return what is not done in ``network``, as a job for each set of images."""
    by_images: dict[Shift, list[Case]] = {}
    for case in list_cases(network.key[0], layers):
        if (network.key, case) not in done:
            by_images.setdefault((case.shift, case.severity), []).append(case)
    return [replace(network, cases=tuple(some)) for some in by_images.values()]


def intervene(job: Job) -> list[Row]:
    """Return the accuracy of the job's network in each of its cases, all of the same images."""
    set_up_machine(job.recipe.train)
    dataset, test = read_dataset(job.recipe.data)
    images = _shift(job.recipe.data, job.cases[0].shift, job.cases[0].severity)
    rows = []
    for fixed in dict.fromkeys(case.fixed for case in job.cases):
        network = _prepare(job.recipe, job.weights, fixed)
        cases = [case for case in job.cases if case.fixed == fixed]
        treatments = [case.treat(len(list_layers(network))) for case in cases]
        predicted = predict(network, treatments, images, dataset.pixels, CPU)
        rows += [
            _to_row(case, job.key, digits, test.labels)
            for case, digits in zip(cases, predicted, strict=True)
        ]
    return rows


def _to_row(case: Case, key: Key, digits: torch.Tensor, labels: torch.Tensor) -> Row:
    answered = digits.bincount().double() / len(digits)
    return Row(
        **vars(case),
        seed=key[1],
        recipe=key[2],
        accuracy=round(float((digits == labels).double().mean()), 6),
        answer=int(answered.argmax()),
        answered=round(float(answered.max()), 6),
    )


@cache
def _shift(params: DataParams, shift: str, severity: float) -> torch.Tensor:
    return shift_images(read_dataset(params)[1].images, shift, severity)


@lru_cache(maxsize=2)
def _prepare(recipe: Recipe, weights: bytes, fixed: str) -> nn.Module:
    """Return the network written out, with statistics of clean images or the running ones."""
    dataset, _ = read_dataset(recipe.data)
    network = network_for(recipe)
    network.load_state_dict(safetensors.torch.load(weights))
    network.to(memory_format=torch.channels_last)  # a third faster
    frozen = freeze(network, dataset.train.images[:FEW_IMAGES], dataset.pixels, CPU)
    if fixed == "running":
        for layer, own in zip(list_layers(frozen), list_layers(write_out(network)), strict=True):
            layer.fix(own.mean, own.variance)
    return frozen


if __name__ == "__main__":
    run_as_command("causes", main)
