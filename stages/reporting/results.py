"""All that the other stages found, read and checked."""

from dataclasses import dataclass

import torch

from stages.core.dataset import Split, read_split
from stages.core.errors import PipelineError
from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.evaluation.activations import Observed, read_activations
from stages.evaluation.histories import read_histories
from stages.evaluation.metrics import Metrics, metrics_path, read_metrics
from stages.evaluation.predictions import predictions_path, read_predictions
from stages.evaluation.shifts import Case, read_shifts
from stages.model.checkpoint import Checkpoint, checkpoint_path, read_checkpoint
from stages.model.history import Epoch
from stages.reporting.mistakes import Guesses, read_off


@dataclass(frozen=True)
class Results:
    """The outcome of the three trainings, each by model (bn, gn, ln)."""

    histories: dict[str, list[Epoch]]
    metrics: dict[str, Metrics]
    guesses: dict[str, Guesses]  # at the images of ``test``
    software: dict[str, dict[str, str]]
    activations: dict[str, dict[str, Observed]]  # then by block
    checkpoints: dict[str, Checkpoint]
    shifted: dict[
        Case, torch.Tensor
    ]  # the digits [N] that shifted images of ``test`` are taken for
    test: Split
    followed_split: str  # that each epoch was scored on: "test" or "validation"


def read_results(params: Params) -> Results:
    """Read the histories and checkpoints, all that evaluate wrote, and the test images.

    Raises:
        PipelineError: a file is missing, damaged, or contradicts another.
    """
    test = read_split("test")
    split = "validation" if params.data.validation_images else "test"
    predictions = {model: read_predictions(predictions_path(model), len(test)) for model in MODELS}
    results = Results(
        histories=read_histories(params.train.epochs, split),
        metrics={model: read_metrics(metrics_path(model)) for model in MODELS},
        guesses={model: read_off(one.logits, test.labels) for model, one in predictions.items()},
        software={model: one.software for model, one in predictions.items()},
        activations={model: read_activations(model) for model in MODELS},
        checkpoints={
            model: read_checkpoint(checkpoint_path(model), Recipe.of(model, params))
            for model in MODELS
        },
        shifted=read_shifts(params.shifts, test.labels),
        test=test,
        followed_split=split,
    )
    for model in MODELS:
        _check_agreement(model, results.metrics[model], results.guesses[model])
    return results


def _check_agreement(model: str, stated: Metrics, guesses: Guesses) -> None:
    """Refuse metrics of other predictions, or of none at all."""
    total = len(guesses.is_right)
    errors = int((~guesses.is_right).sum())
    gap = stated.train_accuracy - stated.test_accuracy
    if (
        stated.errors != errors
        or stated.test_accuracy != round(1 - errors / total, 6)
        or abs(stated.accuracy_gap - gap) > 1e-5
    ):
        raise PipelineError(
            f"{metrics_path(model)} states {stated.errors} errors, a test accuracy of "
            f"{stated.test_accuracy} and a gap of {stated.accuracy_gap}, but "
            f"{predictions_path(model)} has {errors} errors of {total}; "
            "run `dvc repro --force evaluate`"
        )
