import math

import pytest
import torch
import torchvision.transforms.functional as reference
from torchvision.transforms import InterpolationMode

from stages.core.dataset import Split
from stages.core.params import AugmentationParams
from stages.training.augmentation import Draws, augment, draw

NEUTRAL = AugmentationParams(**dict.fromkeys(AugmentationParams.model_fields, 0.0))
WIDE = NEUTRAL.model_copy(
    update={
        **{"rotation": 20.0, "translation": 3.0, "scale": 0.2, "shear": 10.0},
        **{"brightness": 0.5, "contrast": 0.5},
    }
)


def _draw(count: int, params: AugmentationParams, seed: int = 0) -> Draws:
    return draw(torch.zeros(count), params, torch.Generator().manual_seed(seed))


def _images(split: Split, count: int) -> torch.Tensor:
    return split.images[:count].float() / 255


def test_equals_torchvision_with_the_same_draws(test_split: Split) -> None:
    images, draws = _images(test_split, 100), _draw(100, WIDE)
    ours = augment(images.clone(), draws)
    for i, image in enumerate(images):
        expected = reference.affine(
            image,
            angle=math.degrees(draws.rotation[i]),
            translate=[float(draws.translation_x[i]), float(draws.translation_y[i])],
            scale=float(draws.scale[i]),
            shear=[math.degrees(draws.shear[i]), 0.0],
            interpolation=InterpolationMode.BILINEAR,
        )
        jitter = [
            lambda x, i=i: reference.adjust_brightness(x, float(draws.brightness[i])),
            lambda x, i=i: reference.adjust_contrast(x, float(draws.contrast[i])),
        ]
        for change in reversed(jitter) if draws.contrast_first[i] else jitter:
            expected = change(expected)
        torch.testing.assert_close(ours[i], expected, rtol=0, atol=2e-5)
    assert 20 < int(draws.contrast_first.sum()) < 80  # both orders were compared


def test_draws_are_uniform_within_their_ranges() -> None:
    draws = _draw(50_000, WIDE)
    for values, middle, either_way in (
        (draws.rotation, 0, math.radians(20)),
        (draws.translation_x, 0, 3),
        (draws.translation_y, 0, 3),
        (draws.scale, 1, 0.2),
        (draws.shear, 0, math.radians(10)),
        (draws.brightness, 1, 0.5),
        (draws.contrast, 1, 0.5),
    ):
        low, high = middle - either_way, middle + either_way
        assert low <= float(values.min()) < low + either_way / 100
        assert high - either_way / 100 < float(values.max()) <= high
        assert float(values.mean()) == pytest.approx(middle, abs=either_way / 50)
        assert float(values.std()) == pytest.approx(2 * either_way / math.sqrt(12), rel=0.02)


def test_part_of_a_batch_is_what_the_whole_gives(test_split: Split) -> None:
    images, draws = _images(test_split, 50), _draw(50, WIDE)
    whole = augment(images.clone(), draws)
    torch.testing.assert_close(augment(images[20:30].clone(), draws[20:30]), whole[20:30])


def test_ranges_fade_over_the_last_share() -> None:
    """With the same random numbers, by hand: full until 1 - fade, then linearly to nothing."""
    progress = torch.tensor([0.0, 0.5, 0.6, 0.7, 0.95, 1.0])
    fading = WIDE.model_copy(update={"fade": 0.4})
    full, faded = (draw(progress, p, torch.Generator().manual_seed(3)) for p in (WIDE, fading))
    strength = torch.tensor([1.0, 1.0, 1.0, 0.75, 0.125, 0.0])
    for name, middle in (("rotation", 0), ("translation_x", 0), ("scale", 1), ("contrast", 1)):
        deviation = getattr(full, name) - middle
        assert (deviation != 0).all()
        torch.testing.assert_close(getattr(faded, name) - middle, strength * deviation)
