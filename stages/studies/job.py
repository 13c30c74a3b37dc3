"""One training of a study, from raw files to its row of results."""

from dataclasses import dataclass
from functools import cache

from stages.core.dataset import Dataset, Split
from stages.core.errors import PipelineError
from stages.core.machine import set_up_machine
from stages.core.params import DataParams
from stages.core.process import memory_errors_named
from stages.core.recipe import Recipe
from stages.model.scoring import compute_logits, score
from stages.preparation.sources import RAW
from stages.preparation.splitting import prepare
from stages.training.loop import Training

Results = dict[str, str]  # by column


@dataclass(frozen=True)
class Job:
    """The training of the row of this number; ``with_test``: also score the test images."""

    number: int
    recipe: Recipe
    with_test: bool


def run_job(job: Job) -> Results | PipelineError:
    """Train to the end; return losses and accuracies, or why there are none."""
    try:
        with memory_errors_named():
            return _train(job)
    except PipelineError as error:
        return error


def _train(job: Job) -> Results:
    device = set_up_machine(job.recipe.train)
    dataset, test = _read_dataset(job.recipe.data)
    training = Training(job.recipe, dataset, device)
    while not training.is_finished:
        training.run_epoch()
    splits = [dataset.followed]
    if job.with_test and test is not dataset.followed:
        splits.append(test)
    results = {}
    for split in (*splits, dataset.train):
        logits = compute_logits(training.result, split, dataset.pixels, device)
        scored = score(logits, split.labels)
        if split is not dataset.train:
            results[f"{split.name}_loss"] = f"{scored.loss:.6f}"
        results[f"{split.name}_accuracy"] = f"{scored.accuracy:.6f}"
    return results


@cache
def _read_dataset(params: DataParams) -> tuple[Dataset, Split]:
    (train, *validation, test), pixels = prepare(RAW, params)
    return Dataset(train, validation[0] if validation else test, pixels), test
