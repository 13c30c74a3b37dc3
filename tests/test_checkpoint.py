from pathlib import Path

import pytest
import torch

from stages.core.dataset import Pixels
from stages.core.errors import PipelineError
from stages.core.files import write_tensors
from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.model.checkpoint import network_for, read_checkpoint, write_checkpoint
from tests.conftest import change

SOFTWARE = {"torch": "1.2.3"}
PIXELS = Pixels(0.13, 0.31)
REMEDY = "run `dvc repro --force --single-item train-gn`"


@pytest.fixture
def params(params: Params) -> Params:
    return change(params, train__epochs=20, models__gn__channels_per_group=4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gn.safetensors"


def _write(path: Path, model: str, params: Params) -> torch.nn.Module:
    torch.manual_seed(1)
    network = network_for(Recipe.of(model, params))
    write_checkpoint(path, network.state_dict(), Recipe.of(model, params), PIXELS, SOFTWARE)
    return network


@pytest.mark.parametrize("model", MODELS)
def test_round_trip(model: str, params: Params, path: Path) -> None:
    network = _write(path, model, params).eval()
    images = torch.rand(4, 1, 28, 28)
    read = read_checkpoint(path, Recipe.of(model, params))
    assert torch.equal(read.network(images), network(images))
    assert not read.network.training
    assert (read.pixels, read.software) == (PIXELS, SOFTWARE)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("gn", {"train__epochs": 3}, "train.epochs 20, not 3"),
        ("gn", {"train__augmentation__scale": 0.5}, "train.augmentation.scale 0.*, not 0.5"),
        ("gn", {"models__gn__channels_per_group": 2}, r"models\.gn\.channels_per_group 4, not 2"),
        ("ln", {}, "model ln, not gn"),
    ],
)
def test_trained_otherwise(
    model: str, changes: dict[str, object], message: str, params: Params, path: Path
) -> None:
    _write(path, model, params)
    with pytest.raises(PipelineError, match=f"was trained with {message}.*{REMEDY}"):
        read_checkpoint(path, Recipe.of("gn", change(params, **changes)))


def test_a_seed_of_no_draw_decides_nothing(params: Params, path: Path) -> None:
    """Without images held out, another data.split_seed is the same training."""
    _write(path, "gn", params)
    other = Recipe.of("gn", change(params, data__split_seed=1))
    assert read_checkpoint(path, other).software == SOFTWARE
    held_out = {"data__validation_images": 100}
    _write(path, "gn", change(params, **held_out))
    with pytest.raises(PipelineError, match=r"was trained with data\.split_seed 0, not 1"):
        read_checkpoint(path, Recipe.of("gn", change(params, **held_out, data__split_seed=1)))


def _tamper(path: Path, params: Params, **tensors: torch.Tensor | None) -> None:
    """Write a checkpoint of gn whose ``tensors`` are replaced, or left out where None."""
    weights = network_for(Recipe.of("gn", params)).state_dict()
    for name, tensor in tensors.items():
        weights[name.replace("__", ".")] = tensor
    kept = {name: tensor for name, tensor in weights.items() if tensor is not None}
    write_tensors(path, kept, Recipe.of("gn", params).describe())


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"classify__weight": None}, "holds other tensors than a gn network"),
        ({"extra": torch.zeros(1)}, "holds other tensors than a gn network"),
        ({"classify__weight": torch.zeros(10, 16)}, r"'classify.weight' is torch.float32 \[10, 16"),
        ({"classify__weight": torch.zeros(10, 16, 1, 1).half()}, "is torch.float16"),
        ({"classify__weight": torch.full((10, 16, 1, 1), torch.nan)}, "not finite"),
    ],
)
def test_foreign_tensors(
    tensors: dict[str, torch.Tensor | None], message: str, params: Params, path: Path
) -> None:
    _tamper(path, params, **tensors)
    with pytest.raises(PipelineError, match=f"{message}.*{REMEDY}"):
        read_checkpoint(path, Recipe.of("gn", params))


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 100, b"PK\x03\x04" * 9])
def test_no_checkpoint(content: bytes, params: Params, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=rf"is damaged or foreign .*{REMEDY}"):
        read_checkpoint(path, Recipe.of("gn", params))


def test_without_the_statistics_of_its_pixels(params: Params, path: Path) -> None:
    _tamper(path, params)
    with pytest.raises(PipelineError, match="holds the pixels None, not a mean and a std"):
        read_checkpoint(path, Recipe.of("gn", params))
