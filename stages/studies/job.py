"""One training of a study, from raw files to its row of results."""

from dataclasses import dataclass, field
from functools import cache

import safetensors.torch
import torch
from torch import nn

from stages.core.dataset import Dataset, Pixels, Split
from stages.core.errors import DivergedError, PipelineError
from stages.core.machine import describe_type, set_up_machine
from stages.core.params import DataParams, ShiftParams
from stages.core.process import memory_errors_named
from stages.core.recipe import TRAINING_VERSION, Recipe
from stages.evaluation.interventions import freeze, with_batch_statistics
from stages.evaluation.shifts import Row as ShiftRow
from stages.evaluation.shifts import score_shifts
from stages.model.scoring import Score, compute_logits, score
from stages.preparation.sources import RAW
from stages.preparation.splitting import prepare
from stages.records.record import Row
from stages.training.loop import Training


@dataclass(frozen=True)
class Job:
    """One training; ``with_test`` also scores the test images.

    ``shifts`` are scored on those too, or else on the images held out.
    """

    number: int
    recipe: Recipe
    with_test: bool
    shifts: ShiftParams | None = None


@dataclass(frozen=True)
class Trained:
    """The columns of a training's row that are results, its rows of shifted images, its weights."""

    results: Row
    shifts: list[ShiftRow] = field(default_factory=list)
    network: bytes = b""  # safetensors: torch would send tensors by shared memory


def run_job(job: Job) -> Trained | PipelineError:
    """Train to the end, or until it diverges; return the results, or why there are none."""
    try:
        with memory_errors_named():
            return _train(job)
    except PipelineError as error:
        return error


def _train(job: Job) -> Trained:
    device = set_up_machine(job.recipe.train)
    machine = {
        "machine": describe_type(device),
        "version": str(TRAINING_VERSION),
        "recipe": job.recipe.digest,
    }
    dataset, test = _read_dataset(job.recipe.data)
    training = Training(job.recipe, dataset, device)
    try:
        followed = training.run_to_end()
    except DivergedError as error:
        outcome = f"diverged at epoch {error.epoch}, step {error.step}"
        return Trained({"outcome": outcome, **machine})
    network, last = training.result, dataset.followed

    def measure(network: nn.Module, split: Split) -> Score:
        return score(compute_logits(network, split, dataset.pixels, device), split.labels)

    scores = {last.name: followed}
    if job.with_test and test is not last:
        last = test
        scores[test.name] = measure(network, test)
    accuracies = {name: of_split.accuracy for name, of_split in scores.items()}
    accuracies["train"] = measure(network, dataset.train).accuracy
    if job.recipe.normalization == "batch":
        recomputed = freeze(network, dataset.train, dataset.pixels, device)
        accuracies["recomputed"] = measure(recomputed, last).accuracy
        accuracies["batch"] = measure(with_batch_statistics(network), last).accuracy
        accuracies["composed"] = score_as_trained(network, job.recipe, last, dataset.pixels)
    results = {
        **{f"{name}_loss": f"{of_split.loss:.6f}" for name, of_split in scores.items()},
        **{f"{name}_accuracy": f"{accuracy:.6f}" for name, accuracy in accuracies.items()},
        "outcome": "ok",
        **machine,
    }
    shifts = []
    if job.shifts is not None:
        shifted = test if job.with_test else dataset.followed
        shifts = score_shifts(network, job.recipe.model, shifted, dataset.pixels, job.shifts)
    weights = {name: x.cpu().contiguous() for name, x in network.state_dict().items()}
    return Trained(results, shifts, safetensors.torch.save(weights))


def score_as_trained(network: nn.Module, recipe: Recipe, split: Split, pixels: Pixels) -> float:
    """Return the accuracy of bn by the statistics of batches that are composed as in training."""
    size, order = recipe.train.batch_size, torch.arange(len(split))
    if recipe.train.sort_batches:
        order = torch.cat([x[split.labels[x].argsort(stable=True)] for x in order.split(size)])
    composed = Split(split.name, split.images[order], split.labels[order])
    part = getattr(recipe.own, "normalization_batch", 0) or size
    network = with_batch_statistics(network, part)
    device = next(network.parameters()).device
    logits = compute_logits(network, composed, pixels, device, batch_size=size)
    return score(logits, composed.labels).accuracy


@cache
def _read_dataset(params: DataParams) -> tuple[Dataset, Split]:
    (train, *validation, test), pixels = prepare(RAW, params)
    return Dataset(train, validation[0] if validation else test, pixels), test
