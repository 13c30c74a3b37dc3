"""The predictions of a trained model for the test images: its logits, as safetensors."""

from pathlib import Path

import torch

from stages.core.errors import PipelineError
from stages.core.files import check_tensor, read_tensors, write_tensors


def predictions_path(model: str) -> Path:
    """Return where the predictions of ``model`` (bn, gn or ln) are."""
    return Path("reports/predictions", f"{model}.safetensors")


def write_predictions(path: Path, logits: torch.Tensor) -> None:
    """Write the ``logits`` [N, 10], float32, of N test images."""
    write_tensors(path, {"logits": logits}, {})


def read_predictions(path: Path, count: int) -> torch.Tensor:
    """Read the logits of ``count`` images that ``write_predictions`` wrote.

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    remedy = "run `dvc repro evaluate`"
    tensors, _ = read_tensors(path, remedy)
    logits = check_tensor(path, tensors, "logits", torch.float32, (count, 10), remedy)
    if not logits.isfinite().all():
        raise PipelineError(f"{path} holds numbers that are not finite; {remedy}")
    return logits
