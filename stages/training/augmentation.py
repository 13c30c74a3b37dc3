"""Random transformations of whole batches: affine, then brightness and contrast.

Each image has its own draws, and becomes what torchvision's ``functional.affine`` (bilinear,
black outside), ``adjust_brightness`` and ``adjust_contrast`` give with the same draws. The
original experiment's colour jitter also names hue and saturation: on grey images both do
nothing, so they are left out.
"""

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F

from stages.core.params import AugmentationParams


@dataclass(frozen=True)
class Draws:
    """The random numbers for N images, each a tensor [N]."""

    rotation: torch.Tensor  # radians
    translation_x: torch.Tensor  # pixels
    translation_y: torch.Tensor  # pixels
    scale: torch.Tensor  # factor
    shear: torch.Tensor  # radians, along the rows
    brightness: torch.Tensor  # factor
    contrast: torch.Tensor  # factor
    contrast_first: torch.Tensor  # bool: torchvision draws the order too

    def __getitem__(self, index: torch.Tensor | slice) -> "Draws":
        """Return the draws of some of the images."""
        return Draws(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device) -> "Draws":
        """Return the draws on ``device``."""
        return Draws(*(getattr(self, field.name).to(device) for field in fields(self)))


def draw(progress: torch.Tensor, params: AugmentationParams, generator: torch.Generator) -> Draws:
    """Draw for each image, uniformly within the ranges of ``params``, which shrink at the end.

    Args:
        progress: [N], the share of the training that is done when an image's turn comes. The
            ranges shrink linearly to zero over the last ``params.fade`` of the training.
        params: the full ranges.
        generator: advances by the same amount whatever the ranges are.
    """
    count, strength = len(progress), torch.ones_like(progress)
    if params.fade > 0:
        strength = ((1 - progress) / params.fade).clamp(max=1)

    def uniform(middle: float, either_way: float) -> torch.Tensor:
        return middle + either_way * strength * (2 * torch.rand(count, generator=generator) - 1)

    return Draws(
        rotation=uniform(0, math.radians(params.rotation)),
        translation_x=uniform(0, params.translation),
        translation_y=uniform(0, params.translation),
        scale=uniform(1, params.scale),
        shear=uniform(0, math.radians(params.shear)),
        brightness=uniform(1, params.brightness),
        contrast=uniform(1, params.contrast),
        contrast_first=torch.rand(count, generator=generator) < 0.5,
    )


def augment(images: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Transform square ``images`` [N, 1, H, H], float32 from 0 to 1, each by its own draws."""
    size = images.shape[-1]
    grid = _sampling_grid(_inverse_affine(draws, size), size)
    moved = F.grid_sample(
        images, grid.permute(0, 2, 3, 1), "bilinear", "zeros", align_corners=False
    )
    return _jitter(moved, draws)


def _inverse_affine(draws: Draws, size: int) -> torch.Tensor:
    """Return maps [N, 2, 3] from output to input places, in the coordinates of affine_grid.

    The map is torchvision's: rotate after shear, scale, then translate, about the centre.
    """
    cos, sin, tan = draws.rotation.cos(), draws.rotation.sin(), draws.shear.tan()
    x_from_x, x_from_y = (cos - sin * tan) / draws.scale, (cos * tan + sin) / draws.scale
    y_from_x, y_from_y = -sin / draws.scale, cos / draws.scale
    to_grid_units = 2 / size
    x_offset = -(x_from_x * draws.translation_x + x_from_y * draws.translation_y) * to_grid_units
    y_offset = -(y_from_x * draws.translation_x + y_from_y * draws.translation_y) * to_grid_units
    rows = (x_from_x, x_from_y, x_offset), (y_from_x, y_from_y, y_offset)
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _sampling_grid(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Return where each output pixel is sampled, [N, 2, size, size], for ``maps`` [N, 2, 3].

    Equals torch's ``affine_grid`` with ``align_corners=False`` in a tenth of the time, since each
    place is the sum of a term of its column and a term of its row.
    """
    centres = (2 * torch.arange(size, device=maps.device) + 1) / size - 1
    x_part, y_part, offset = maps.unsqueeze(2).unbind(-1)  # each [N, 2, 1]
    by_column, by_row = offset + x_part * centres, y_part * centres
    return by_column.unsqueeze(2) + by_row.unsqueeze(3)


def _jitter(images: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Change brightness and contrast in each image's own order.

    Brightness is applied both before and after contrast, with the factor 1 for the images that
    have the other order.
    """
    brightness, contrast = (x.view(-1, 1, 1, 1) for x in (draws.brightness, draws.contrast))
    contrast_first = draws.contrast_first.view(-1, 1, 1, 1)
    images = (images * torch.where(contrast_first, 1.0, brightness)).clamp_(0, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = torch.lerp(mean, images, contrast).clamp_(0, 1)
    return images.mul_(torch.where(contrast_first, brightness, 1.0)).clamp_(0, 1)
