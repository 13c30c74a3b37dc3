"""All that the report is made of, read once and checked: what the stages found, and the records."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from stages.analysis.ensembles import Ensemble, read_ensembles
from stages.analysis.mistakes import Mistake, find_mistakes
from stages.analysis.worked_example import read_example
from stages.core.dataset import Split, read_split
from stages.core.errors import ParamsError, PipelineError
from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.evaluation.histories import read_histories
from stages.evaluation.metrics import Metrics, metrics_path, read_metrics
from stages.evaluation.predictions import predictions_path, read_predictions
from stages.evaluation.shifts import Case, read_shifts
from stages.model.checkpoint import Checkpoint, checkpoint_path, read_checkpoint
from stages.model.history import Epoch
from stages.records.causes import Distance, Row, read_causes, read_distances
from stages.records.declaration import read_studies
from stages.records.gradients import Norm, read_norms
from stages.records.record import read_rows
from stages.records.results import Results, collect
from stages.records.shifted import read_shifted


@dataclass(frozen=True)
class Inputs:
    """The outcome of the three trainings, each by model (bn, gn, ln), and of the studies."""

    histories: dict[str, list[Epoch]]
    metrics: dict[str, Metrics]
    mistakes: dict[str, list[Mistake]]  # at the images of ``test``, the most confident first
    checkpoints: dict[str, Checkpoint]
    ensembles: dict[str, Ensemble]
    shifted: dict[Case, float]  # the accuracies on shifted test images
    train: Split
    test: Split
    followed_split: str  # that each epoch was scored on: "test" or "validation"
    example: torch.Tensor  # of how they normalize: activations [4, 4, 2, 2]
    interventions: list[Row]  # in the networks of the seeds
    distances: list[Distance]  # of statistics in them
    gradients: list[Norm]  # before any training
    studies: dict[str, Results | None]  # None: recorded with other parameters than the present


def read_inputs(params: Params) -> Inputs:
    """Read the histories and checkpoints, all that evaluate wrote, the test images, the records.

    Raises:
        ParamsError: studies.yaml cannot be read, or a study is not declared correctly.
        PipelineError: a file is missing, damaged, or contradicts another.
    """
    test = read_split("test")
    split = "validation" if params.data.validation_images else "test"
    studies = dict(read_records(params))
    checkpoints = {
        model: read_checkpoint(checkpoint_path(model), Recipe.of(model, params)) for model in MODELS
    }
    inputs = Inputs(
        histories=read_histories(params.train.epochs, split),
        metrics={model: read_metrics(metrics_path(model)) for model in MODELS},
        mistakes={
            model: find_mistakes(read_predictions(predictions_path(model), len(test)), test.labels)
            for model in MODELS
        },
        checkpoints=checkpoints,
        ensembles=read_ensembles(params, studies.get("seeds"), checkpoints),
        shifted=read_shifts(params.shifts),
        train=read_split("train"),
        test=test,
        followed_split=split,
        example=read_example(),
        interventions=read_causes(),
        distances=read_distances(),
        gradients=read_norms(),
        studies=studies,
    )
    for model in MODELS:
        _check_agreement(model, inputs.metrics[model], len(inputs.mistakes[model]), len(test))
    return inputs


def read_records(params: Params) -> Iterator[tuple[str, Results | None]]:
    """Yield the name and the results of each study that has a record and scores the test images.

    So not of the searches by which recipes were chosen. None if the record has no training by the
    present ``params``, or if these do not allow what the study varies.

    Raises:
        ParamsError: studies.yaml cannot be read, or a study is not declared correctly.
        PipelineError: a record is damaged.
    """
    for study in read_studies().values():
        rows = read_rows(study.record)
        if not rows or not study.scores_test:
            continue
        try:
            results = collect(study, params, rows, read_shifted(study) if study.shifts else [])
        except ParamsError:
            yield study.name, None
        else:
            yield study.name, None if results.is_empty else results


def _check_agreement(model: str, stated: Metrics, errors: int, total: int) -> None:
    """Refuse metrics of other predictions, or of none at all."""
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
