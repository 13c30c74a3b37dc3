"""What the report is about: everything that the other stages found, read and checked."""

from dataclasses import dataclass

import torch

from stages.core.dataset import Split, read_split
from stages.core.errors import PipelineError
from stages.core.params import MODELS
from stages.evaluation.activations import Observed, read_activations
from stages.evaluation.joined_history import JOINED_PATH, read_joined
from stages.evaluation.metrics import Metrics, metrics_path, read_metrics
from stages.evaluation.predictions import predictions_path, read_predictions
from stages.model.history import Epoch


@dataclass(frozen=True)
class Results:
    """The outcome of the three trainings, each by model (bn, gn, ln)."""

    histories: dict[str, list[Epoch]]
    metrics: dict[str, Metrics]
    logits: dict[str, torch.Tensor]  # [N, 10] for the images of ``test``
    software: dict[str, dict[str, str]]
    activations: dict[str, dict[str, Observed]]  # then by block
    test: Split

    @property
    def followed_split(self) -> str:
        """The split that each epoch was scored on: "test" or "validation"."""
        return next(iter(self.histories.values()))[0].followed_split


def read_results() -> Results:
    """Read all that evaluate wrote, and the test images.

    Raises:
        PipelineError: a file is missing, damaged, or contradicts another.
    """
    test = read_split("test")
    histories = read_joined()
    if list(histories) != list(MODELS):
        raise PipelineError(
            f"{JOINED_PATH} has the models {list(histories)}, not {list(MODELS)}; "
            "run `dvc repro evaluate`"
        )
    predictions = {model: read_predictions(predictions_path(model), len(test)) for model in MODELS}
    metrics = {model: read_metrics(metrics_path(model)) for model in MODELS}
    for model in MODELS:
        errors = int((predictions[model].logits.argmax(dim=1) != test.labels).sum())
        stated = metrics[model]
        if errors != stated.errors or stated.test_accuracy != round(1 - errors / len(test), 6):
            raise PipelineError(
                f"{metrics_path(model)} counts {stated.errors} errors and a test accuracy of "
                f"{stated.test_accuracy}, but {predictions_path(model)} has {errors} errors of "
                f"{len(test)}; run `dvc repro --force evaluate`"
            )
    return Results(
        histories=histories,
        metrics=metrics,
        logits={model: one.logits for model, one in predictions.items()},
        software={model: one.software for model, one in predictions.items()},
        activations={model: read_activations(model) for model in MODELS},
        test=test,
    )
