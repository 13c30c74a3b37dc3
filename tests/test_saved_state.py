from pathlib import Path

import pytest
import torch

from stages.core.dataset import Dataset
from stages.core.files import read_tensors, write_tensors
from stages.core.params import Params
from stages.core.recipe import Recipe
from stages.model.saved_state import SavedState, saved_state
from stages.training.loop import Training
from tests.conftest import change

CPU = torch.device("cpu")


@pytest.fixture
def training(params: Params, small_dataset: Dataset) -> Training:
    """A training after its first epoch."""
    training = _fresh(params, small_dataset)
    training.run_epoch()
    return training


def _fresh(params: Params, dataset: Dataset) -> Training:
    return Training(Recipe.of("gn", change(params, train__epochs=2)), dataset, CPU)


def _weights(training: Training) -> torch.Tensor:
    return torch.cat([value.flatten().double() for _, value in sorted(training.state().items())])


@pytest.mark.parametrize("is_finished", [False, True])
def test_own_state_is_gone_on_from(
    is_finished: bool, training: Training, params: Params, small_dataset: Dataset, tmp_path: Path
) -> None:
    state = SavedState(tmp_path / "gn.safetensors", "owner")
    if is_finished:
        training.run_epoch()
    state.save(training.epochs, training.state())
    if is_finished:
        state.finish()
    assert state.path.exists() != is_finished
    resumed = _fresh(params, small_dataset)
    resumed.restore(*state.read())
    assert (resumed.epochs, resumed.is_finished) == (training.epochs, is_finished)
    assert torch.equal(_weights(resumed), _weights(training))


@pytest.mark.parametrize(
    "fault", ["another owner", "a changed weight", "a changed score", "a weight left out", "cut"]
)
def test_any_other_state_is_removed(fault: str, training: Training, tmp_path: Path) -> None:
    state = SavedState(tmp_path / "gn.safetensors", "owner")
    state.save(training.epochs, training.state())
    tensors, metadata = read_tensors(state.path, "")
    if fault == "another owner":
        metadata["owner"] = "somebody"
    elif fault == "a changed weight":
        next(value for key, value in tensors.items() if key.startswith("network")).mul_(2)
    elif fault == "a changed score":
        metadata["epochs"][0]["followed"]["accuracy"] = 1.0
    elif fault == "a weight left out":
        tensors.popitem()
    write_tensors(state.path, tensors, metadata)
    if fault == "cut":
        state.path.write_bytes(state.path.read_bytes()[:-1])
    assert state.read() is None
    assert not state.path.exists()


def test_owner_is_the_very_same_inputs(params: Params, small_dataset: Dataset) -> None:
    def owner(model: str = "gn", **changes: object) -> str:
        return saved_state(Recipe.of(model, change(params, **changes)), small_dataset, CPU).owner

    assert owner() == owner()
    others = {owner("ln"), owner(train__seed=5), owner(models__gn__l1=0.5)}
    small_dataset.train.labels[0] ^= 1
    others.add(owner())
    small_dataset.train.labels[0] ^= 1
    assert len(others | {owner()}) == 5
