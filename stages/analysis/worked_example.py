"""A worked example of the three normalizations: which values share a mean and a variance."""

from pathlib import Path

import torch

from stages.core.errors import PipelineError
from stages.core.files import read_json

EXAMPLE_PATH = Path("data/worked_example.json")
CHANNELS_PER_GROUP = 2  # in the example: two groups of its four channels


def read_example(path: Path = EXAMPLE_PATH) -> torch.Tensor:
    """Read the example: float64 activations [4 images, 4 channels, 2 rows, 2 columns].

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    remedy = f"restore it with `git checkout {path}`"
    try:
        images = torch.tensor(read_json(path, remedy)["images"], dtype=torch.float64)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise PipelineError(f"{path} is not a worked example ({error!r}); {remedy}") from None
    if images.shape != (4, 4, 2, 2) or not images.isfinite().all():
        raise PipelineError(
            f"{path} holds images {list(images.shape)}, not 4x4x2x2 finite numbers; {remedy}"
        )
    return images


def number_sets(images: torch.Tensor, normalization: str) -> torch.Tensor:
    """Number, from 0 on, the sets of elements of ``images`` [N, C, H, W] that share statistics.

    By "batch" normalization those of a channel in all images, by "layer" those of an image, by
    "group" those of a group of channels in an image.
    """
    image = torch.arange(images.shape[0])[:, None, None, None]
    channel = torch.arange(images.shape[1])[None, :, None, None]
    groups = images.shape[1] // CHANNELS_PER_GROUP
    group = image * groups + channel // CHANNELS_PER_GROUP
    return {"batch": channel, "layer": image, "group": group}[normalization].expand(images.shape)
