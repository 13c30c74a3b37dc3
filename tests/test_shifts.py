"""Shifted test images and what the networks make of them, each computed another way."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stages.core.dataset import Dataset, Split, to_floats
from stages.core.errors import PipelineError
from stages.core.params import MODELS, Params, ShiftParams
from stages.evaluation import shifts
from stages.evaluation.shifted_images import SHIFTS, shift_images
from stages.evaluation.shifts import (
    Row,
    list_sets,
    read_shifts,
    score_shifts,
    write_shifts,
)
from tests.conftest import build

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images(test_split: Split) -> torch.Tensor:
    return test_split.images[:20]


@pytest.fixture(scope="module")
def some(test_split: Split) -> Split:
    """230 images: with batches of 100, the last has 30."""
    return Split("test", test_split.images[:230], test_split.labels[:230])


@pytest.fixture(scope="module")
def networks(test_split: Split) -> dict[str, nn.Module]:
    """Networks that learned a little in a few steps, with running statistics of their own."""
    trained = {}
    x, y = to_floats(test_split.images[:640]).sub_(0.13).div_(0.31), test_split.labels.long()
    for model, normalization in MODELS.items():
        torch.manual_seed(0)
        network = build(normalization)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for start in range(0, 640, 64):
            loss = nn.functional.cross_entropy(
                network(x[start : start + 64]), y[start : start + 64]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trained[model] = network.eval()
    return trained


def _as_params(**severities: object) -> ShiftParams:
    nothing = {shift: [] for shift in SHIFTS if shift not in ("none", "inversion")}
    others = {"inversion": False, "test_batch": 100, "test_batches": []}
    return ShiftParams.model_validate(nothing | others | severities)


def _rounded(images: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(images, 0, 255))


def _assert_near(found: torch.Tensor, wanted: np.ndarray) -> None:
    """Equal but for a half that float32 rounds the other way."""
    assert found.dtype == torch.uint8
    difference = np.abs(found.numpy().astype(float) - wanted)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


def _faded(x: np.ndarray, factor: float) -> np.ndarray:
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    return mean + factor * (x - mean)


def _moved(x: np.ndarray, pixels: int) -> np.ndarray:
    """Return the images with black where they came from."""
    x = np.roll(x, pixels, axis=3)
    x[..., slice(pixels) if pixels > 0 else slice(pixels, None)] = 0
    return x


def _blurred(x: np.ndarray, deviation: float) -> np.ndarray:
    reach = math.ceil(3 * deviation)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights /= weights.sum()
    padded = np.pad(x, [(0, 0)] * 2 + [(reach, reach)] * 2, "reflect")
    x = sum(w * padded[:, :, :, i : i + 28] for i, w in enumerate(weights))
    return sum(w * x[:, :, i : i + 28] for i, w in enumerate(weights))


BY_NUMPY = {
    "contrast": (_faded, 0.1, 0.5, 1.7),
    "brightness": (lambda x, added: x + 255 * added, -0.4, 0.25, 0.6),
    "rotation": (lambda x, degrees: np.rot90(x, degrees // 90, axes=(2, 3)), 90, 180, 270),
    "translation": (_moved, 3, -5),
    "blur": (_blurred, 0.5, 1.5),
    "inversion": (lambda x, _: 255 - x, 1),
}


@pytest.mark.parametrize(
    ("shift", "severity"), [(shift, x) for shift, (_, *all_) in BY_NUMPY.items() for x in all_]
)
def test_shifts_by_numpy(shift: str, severity: float, images: torch.Tensor) -> None:
    """Of images that stay as they are."""
    before = images.clone()
    found = shift_images(images, shift, severity)
    wanted = BY_NUMPY[shift][0](images.numpy().astype(float), severity)
    _assert_near(found, np.rint(np.clip(wanted, 0, 255)))
    assert torch.equal(images, before)


def test_noise_is_normal_and_the_same_each_time(test_split: Split) -> None:
    grey = torch.full_like(test_split.images[:500], 128)
    once, again = (shift_images(grey, "noise", 0.1) for _ in range(2))
    assert torch.equal(once, again)
    noise = (once.double() - 128) / 255
    assert abs(float(noise.mean())) < 0.001
    assert float(noise.std()) == pytest.approx(0.1, rel=0.01)
    share = float((noise.abs() < 0.1).double().mean())
    assert share == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.02)
    twice = (shift_images(grey, "noise", 0.2).double() - 128) / 255
    is_inside = noise.abs() < 0.2  # twice that is not clipped
    assert float((twice - 2 * noise)[is_inside].abs().max()) <= 3 / 255  # the same draws, rounded
    assert not torch.equal(once[0], once[1])
    torch.manual_seed(5)
    before = torch.get_rng_state()
    shift_images(grey, "noise", 0.1)
    assert torch.equal(torch.get_rng_state(), before)
    black = shift_images(torch.zeros_like(grey), "noise", 0.3)  # clipped, not wrapped
    assert float((black == 0).double().mean()) == pytest.approx(0.5, abs=0.02)


def test_rotation_is_counter_clockwise() -> None:
    bar = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    bar[..., 13:15, 14:] = 255  # from the centre to the right
    turned = shift_images(bar, "rotation", 45)
    assert turned[0, 0, 6:8, 20:22].float().mean() > 200  # up and to the right
    assert turned[0, 0, 20:22, 20:22].max() == 0


def test_blur_of_more_images_than_are_blurred_at_once(test_split: Split) -> None:
    blurred = shift_images(test_split.images[:1003], "blur", 1)
    assert torch.equal(blurred[1000:], shift_images(test_split.images[1000:1003], "blur", 1))


IDENTITIES = {
    **{"contrast": 1, "brightness": 0, "noise": 0, "rotation": 0, "translation": 0},
    "blur": 0.1,  # of a tenth of a pixel, which reaches no neighbour
}


@pytest.mark.parametrize(("shift", "severity"), [*IDENTITIES.items(), ("none", 0)])
def test_identities_change_nothing(shift: str, severity: float, images: torch.Tensor) -> None:
    before = images.clone()
    assert torch.equal(shift_images(images, shift, severity), before)
    assert torch.equal(images, before)


@pytest.mark.parametrize("batch_size", [1, 7, 100, 230])
def test_batch_statistics_are_those_of_training(
    batch_size: int, networks: dict[str, nn.Module], some: Split, small_dataset: Dataset
) -> None:
    """As training does it: one batch after the other, by what its own images give."""
    params = _as_params(contrast=[0.2], test_batch=batch_size)
    rows = score_shifts(networks["bn"], "bn", some, small_dataset.pixels, params)
    (row,) = [x for x in rows if x.reading == "bn-batch" and x.shift == "contrast"]
    assert row.batch_size == batch_size
    x = to_floats(shift_images(some.images, "contrast", 0.2))
    network, parts = copy.deepcopy(networks["bn"]).train(), x.split(batch_size)
    with torch.no_grad():
        logits = [network(small_dataset.pixels.standardize(part.clone())) for part in parts]
    right = int((torch.cat(logits).argmax(dim=1) == some.labels).sum())
    assert row.accuracy == pytest.approx(right / 230, abs=1.5 / 230 if batch_size == 1 else 1e-6)


def test_rows_are_tidy_and_complete(
    networks: dict[str, nn.Module], some: Split, small_dataset: Dataset
) -> None:
    params = _as_params(
        contrast=[0.5, 0.1], rotation=[30], inversion=True, test_batch=10, test_batches=[2, 10, 40]
    )
    sets = [
        *[("none", 0.0), ("contrast", 0.5), ("contrast", 0.1), ("rotation", 30.0)],
        ("inversion", 1.0),
    ]
    assert list_sets(params) == sets
    cases = [
        (row.model, row.reading, row.batch_size, row.shift, row.severity)
        for model in MODELS
        for row in score_shifts(networks[model], model, some, small_dataset.pixels, params)
    ]
    expected = [(model, model, None, *one) for model in MODELS for one in sets]
    expected += [("bn", "bn-batch", 10, *one) for one in sets]
    expected += [("bn", "bn-batch", k, *one) for k in (2, 40) for one in (sets[0], sets[2])]
    assert sorted(map(str, cases)) == sorted(map(str, expected))
    assert len(set(cases)) == len(cases)


def test_the_number_of_workers_changes_nothing(
    networks: dict[str, nn.Module], some: Split, small_dataset: Dataset
) -> None:
    params = _as_params(contrast=[0.5, 0.1], noise=[0.1, 0.3], test_batches=[1, 8])
    pixels = small_dataset.pixels
    for model in ("bn", "gn"):
        one, many = (
            score_shifts(networks[model], model, some, pixels, params, CPU, workers)
            for workers in (1, 4)
        )
        assert one == many


FEW = {"contrast": [0.2], "test_batches": [8]}


@pytest.fixture
def written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    networks: dict[str, nn.Module],
    some: Split,
    small_dataset: Dataset,
) -> list[Row]:
    monkeypatch.chdir(tmp_path)
    pixels = small_dataset.pixels
    rows = []
    for model, network in networks.items():
        rows += score_shifts(network, model, some, pixels, _as_params(**FEW), CPU)
    write_shifts(rows)
    return rows


def test_the_file_holds_what_was_scored(written: list[Row]) -> None:
    assert read_shifts(_as_params(**FEW)) == {row.case: row.accuracy for row in written}
    first = shifts.SHIFTS_PATH.read_text().splitlines()[:3]
    assert first[0] == "model,reading,batch_size,shift,severity,accuracy"
    assert first[1].startswith("bn,bn,,none,0.0,0.")
    assert first[2].startswith("bn,bn-batch,100,none,0.0,0.")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bn-batch,100,none,0.0,0.", "bn-batch,100,none,0.0,7.", "is not a table of shifts"),
        ("bn-batch,100,none", "bn-batch,many,none", "is not a table of shifts .*batch_size"),
        ("accuracy\n", 'accuracy\n"', "is not a CSV file"),
        ("model,reading,", "model,rending,", "is not a table of shifts .*reading"),
        ("\nbn,bn,,none,", "\nbn,bn,,blur,", "is not of the shifts in params.yaml"),
    ],
)
@pytest.mark.usefixtures("written")
def test_a_file_that_does_not_fit_gets_one_line(old: str, new: str, message: str) -> None:
    text = shifts.SHIFTS_PATH.read_text()
    assert text.count(old) == 1
    shifts.SHIFTS_PATH.write_text(text.replace(old, new))
    with pytest.raises(PipelineError, match=message) as caught:
        read_shifts(_as_params(**FEW))
    assert "\n" not in str(caught.value)


def test_every_list_of_params_is_a_shift(params: Params) -> None:
    """And the other way round."""
    named = set(params.shifts.model_dump()) - {"test_batch", "test_batches"}
    assert named == set(SHIFTS) - {"none"}
