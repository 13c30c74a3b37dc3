"""The metrics of a trained model, one flat JSON file per model."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import ConfigDict, Field, TypeAdapter
from torch import nn

from stages.core.files import read_json, write_json
from stages.evaluation.checking import Fraction, check
from stages.model.network import count_parameters
from stages.model.scoring import score

Loss = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Metrics:
    """Final weights on clean images: accuracies are fractions, losses mean cross-entropies."""

    test_accuracy: Fraction
    test_loss: Loss
    train_accuracy: Fraction
    train_loss: Loss
    accuracy_gap: float  # train minus test
    errors: Annotated[int, Field(ge=0)]  # of the test images
    parameters: Annotated[int, Field(gt=0)]

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)


def metrics_path(model: str) -> Path:
    """Return where the metrics of ``model`` (bn, gn or ln) are."""
    return Path("reports/metrics", f"{model}.json")


def measure(
    network: nn.Module,
    train_logits: torch.Tensor,
    train_labels: torch.Tensor,
    test_logits: torch.Tensor,
    test_labels: torch.Tensor,
) -> Metrics:
    """Compute the metrics of ``network`` from its logits [N, 10] and the labels [N]."""
    train, test = score(train_logits, train_labels), score(test_logits, test_labels)
    return Metrics(
        test_accuracy=round(test.accuracy, 6),
        test_loss=round(test.loss, 6),
        train_accuracy=round(train.accuracy, 6),
        train_loss=round(train.loss, 6),
        accuracy_gap=round(train.accuracy - test.accuracy, 6),
        errors=round((1 - test.accuracy) * len(test_labels)),
        parameters=count_parameters(network),
    )


def write_metrics(path: Path, metrics: Metrics) -> None:
    """Write ``metrics`` as JSON."""
    write_json(path, asdict(metrics))


def read_metrics(path: Path) -> Metrics:
    """Read what ``write_metrics`` wrote.

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    remedy = "run `dvc repro evaluate`"
    return check(TypeAdapter(Metrics), read_json(path, remedy), path, "a file of metrics", remedy)
