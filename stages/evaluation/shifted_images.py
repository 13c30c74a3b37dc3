"""Images as they look after a shift: duller, brighter, noisier, turned, moved, blurred, inverted.

Each function takes images [N, 1, H, W], float32 of 0 (black) to 1 (white), which it may change, and
returns them shifted, clipped to 0 to 1, and rounded to the 256 grey values of image files.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from stages.core.dataset import to_floats

_NOISE_SEED = 0


def shift_images(images: torch.Tensor, shift: str, severity: float) -> torch.Tensor:
    """Return uint8 ``images`` [N, 1, H, W] after the ``shift`` (of SHIFTS) of this ``severity``."""
    shifted = SHIFTS[shift](to_floats(images), severity)
    return shifted.clamp_(0, 1).mul_(255).round_().to(torch.uint8)


def _add_noise(images: torch.Tensor, deviation: float) -> torch.Tensor:
    """Add normal noise; each image gets the same draws, times ``deviation``, every time."""
    generator = torch.Generator().manual_seed(_NOISE_SEED)  # torchvision's has no seed of its own
    return images.add_(torch.randn(images.shape, generator=generator), alpha=deviation)


def _translate(images: torch.Tensor, pixels: float) -> torch.Tensor:
    """Move to the right; what comes in is black."""
    return F.affine(images, angle=0, translate=[pixels, 0], scale=1, shear=[0, 0])


def _blur(images: torch.Tensor, deviation: float) -> torch.Tensor:
    """Blur by a Gaussian of this many pixels; the edges are mirrored."""
    size = 2 * math.ceil(3 * deviation) + 1
    along_columns, along_rows = [1, size], [size, 1]  # faster than both at once
    parts = images.split(1000)  # with more, the memory would be freed and allocated each time
    return torch.cat(
        [
            F.gaussian_blur(F.gaussian_blur(part, along_rows, deviation), along_columns, deviation)
            for part in parts
        ]
    )


SHIFTS: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "none": lambda images, _: images,
    "contrast": F.adjust_contrast,  # the factor of each pixel's distance from its image's mean
    "brightness": torch.add,
    "noise": _add_noise,
    # Counter-clockwise about the centre, in degrees; what comes in is black.
    "rotation": partial(F.rotate, interpolation=InterpolationMode.BILINEAR),
    "translation": _translate,
    "blur": _blur,
    "inversion": lambda images, _: F.invert(images),
}
