from pathlib import Path

import numpy as np
import pytest
import torch

from stages.core.dataset import Dataset, Pixels, Split, read_dataset, read_split
from stages.core.errors import PipelineError
from stages.core.files import write_tensors
from stages.core.params import Params
from stages.preparation import sources
from stages.preparation.splitting import hold_out, measure_pixels, prepare, write_prepared
from tests.conftest import ROOT, change


def _write(folder: Path, dataset: Dataset) -> None:
    write_prepared(folder, [dataset.train, dataset.followed], dataset.pixels)


def test_round_trip(small_dataset: Dataset, tmp_path: Path) -> None:
    _write(tmp_path, small_dataset)
    read = read_dataset(tmp_path)
    assert read.pixels == small_dataset.pixels
    pairs = (read.train, small_dataset.train), (read.followed, small_dataset.followed)
    for ours, theirs in pairs:
        assert ours.name == theirs.name
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)


def test_pixel_statistics(test_split: Split) -> None:
    pixels = measure_pixels(test_split.images)
    scaled = test_split.images.numpy().astype(np.float64) / 255
    assert pixels.mean == pytest.approx(scaled.mean(), rel=1e-12)
    assert pixels.std == pytest.approx(scaled.std(), rel=1e-12)


def test_held_out_images_are_stratified_disjoint_and_drawn_by_the_seed(test_split: Split) -> None:
    train, validation = hold_out(test_split, 1003, seed=4)
    assert (train.name, validation.name) == ("test", "validation")
    assert (len(train), len(validation)) == (8997, 1003)
    share = torch.bincount(test_split.labels) * 1003 / 10_000
    assert (torch.bincount(validation.labels) - share).abs().max() < 1
    both = torch.cat([train.images, validation.images]).double().flatten(1).sum(1)
    whole = test_split.images.double().flatten(1).sum(1)
    assert torch.equal(both.sort().values, whole.sort().values)
    again, other = (hold_out(test_split, 1003, seed)[1] for seed in (4, 2))
    assert torch.equal(validation.images, again.images)
    assert not torch.equal(validation.images, other.images)


def test_fewer_training_images_are_stratified_and_not_those_held_out(params: Params) -> None:
    data = change(params, data__training_images=1_000, data__validation_images=500).data
    (train, validation, test), pixels = prepare(ROOT / "data/raw", data)
    (_, all_held_out, _), _ = prepare(
        ROOT / "data/raw", change(params, data__validation_images=500).data
    )
    assert [(x.name, len(x)) for x in (train, validation, test)] == [
        *(("train", 1_000), ("validation", 500), ("test", 10_000))
    ]
    every = sources.read_images(ROOT / "data/raw", "mnist", "train")[1]
    share = torch.bincount(every) / 60
    assert (torch.bincount(train.labels) - share).abs().max() <= 1
    assert torch.equal(validation.images, all_held_out.images)
    seen, held_out = ({x.numpy().tobytes() for x in y.images} for y in (train, validation))
    assert not seen & held_out
    assert pixels == measure_pixels(train.images)


def test_validation_is_followed_where_it_was_held_out(test_split: Split, tmp_path: Path) -> None:
    train, validation = hold_out(Split("train", test_split.images, test_split.labels), 100, 0)
    write_prepared(tmp_path, [train, validation, test_split], Pixels(0.1, 0.3))
    assert read_dataset(tmp_path).followed.name == "validation"
    write_prepared(tmp_path, [train, test_split], Pixels(0.1, 0.3))
    assert read_dataset(tmp_path).followed.name == "test"


IMAGES, LABELS = torch.zeros(3, 1, 28, 28, dtype=torch.uint8), torch.zeros(3, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.float(), LABELS, r"'images' is torch.float32 \[3, 1, 28, 28\], not torch.uint8"),
        (IMAGES[:, 0], LABELS, r"'images' is torch.uint8 \[3, 28, 28\], not"),
        (IMAGES, LABELS.long(), r"'labels' is torch.int64 \[3\], not torch.uint8 \[3\]"),
        (IMAGES, LABELS[:2], r"'labels' is torch.uint8 \[2\], not torch.uint8 \[3\]"),
        (IMAGES, LABELS + 10, "does not hold the test images and labels"),
        (IMAGES[:0], LABELS[:0], "does not hold the test images and labels"),
    ],
)
def test_wrong_tensors(
    images: torch.Tensor, labels: torch.Tensor, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "test.safetensors"
    write_tensors(path, {"images": images, "labels": labels}, {"split": "test"})
    with pytest.raises(PipelineError, match=f"{message}.*; run `dvc repro prepare-data`"):
        read_split("test", tmp_path)


def test_another_split_under_the_name(small_dataset: Dataset, tmp_path: Path) -> None:
    _write(tmp_path, small_dataset)
    (tmp_path / "train.safetensors").replace(tmp_path / "test.safetensors")
    with pytest.raises(PipelineError, match="does not hold the test images"):
        read_split("test", tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"mean": 0.1}', '{"mean": 0.1, "std": 0}', '{"mean": 1, "std": NaN}'],
)
def test_wrong_pixel_statistics(small_dataset: Dataset, tmp_path: Path, content: str) -> None:
    _write(tmp_path, small_dataset)
    (tmp_path / "pixels.json").write_text(content)
    with pytest.raises(PipelineError, match=r"pixels\.json .*run `dvc repro prepare-data`"):
        read_dataset(tmp_path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="is missing; run `dvc repro prepare-data`"):
        read_dataset(tmp_path)
