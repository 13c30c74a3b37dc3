"""What is reported of a trained model, as one flat JSON file a model."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from stages.core.errors import PipelineError
from stages.core.files import read_json, write_json
from stages.model.network import count_parameters
from stages.model.scoring import score


@dataclass(frozen=True)
class Metrics:
    """Final weights on clean images: accuracies are fractions, losses mean cross-entropies."""

    test_accuracy: float
    test_loss: float
    train_accuracy: float
    train_loss: float
    accuracy_gap: float  # train minus test
    errors: int  # of the test images
    parameters: int


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
    content = read_json(path, remedy)
    types = Metrics.__annotations__
    if set(content) != set(types) or not all(
        isinstance(content[name], kind) for name, kind in types.items()
    ):
        raise PipelineError(f"{path} does not hold the metrics {', '.join(types)}; {remedy}")
    if not all(0 <= content[name] <= 1 for name in ("test_accuracy", "train_accuracy")):
        raise PipelineError(f"{path} holds an accuracy that is no fraction; {remedy}")
    metrics = Metrics(**content)
    gap = metrics.train_accuracy - metrics.test_accuracy
    if not (
        all(0 <= loss < math.inf for loss in (metrics.test_loss, metrics.train_loss))
        and abs(metrics.accuracy_gap - gap) < 1e-5
        and metrics.errors >= 0 < metrics.parameters
    ):
        raise PipelineError(f"{path} holds metrics that cannot be; {remedy}")
    return metrics
