"""The predictions of a trained model for the test images: its logits, as safetensors."""

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter

from stages.core.errors import PipelineError
from stages.core.files import check_tensor, read_tensors, write_tensors
from stages.evaluation.checking import check


def predictions_path(model: str) -> Path:
    """Return where the predictions of ``model`` (bn, gn or ln) are."""
    return Path("reports/predictions", f"{model}.safetensors")


@dataclass(frozen=True)
class Predictions:
    """The logits [N, 10], float32, of N test images, and the software that trained the model."""

    logits: torch.Tensor
    software: dict[str, str]


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write ``predictions``."""
    write_tensors(path, {"logits": predictions.logits}, {"software": predictions.software})


def read_predictions(path: Path, count: int) -> Predictions:
    """Read the predictions for ``count`` images that ``write_predictions`` wrote.

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    remedy = "run `dvc repro evaluate`"
    tensors, metadata = read_tensors(path, remedy)
    logits = check_tensor(path, tensors, "logits", torch.float32, (count, 10), remedy)
    if not logits.isfinite().all():
        raise PipelineError(f"{path} holds numbers that are not finite; {remedy}")
    software = metadata.get("software")
    what = "a file that says what software made it"
    return Predictions(logits, check(TypeAdapter(dict[str, str]), software, path, what, remedy))
