import copy

import pytest
import torch

from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.model.network import network_for
from stages.training.memory_layout import lay_out

CPU = torch.device("cpu")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("model", MODELS)
def test_layout_changes_no_number(model: str, threads: int, params: Params) -> None:
    network = network_for(Recipe.of(model, params)).double()
    laid_out = lay_out(copy.deepcopy(network), CPU, threads)
    images = torch.randn(6, 1, 28, 28, dtype=torch.float64)
    gradients = []
    for each in (network, laid_out):
        each(images).square().sum().backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in each.parameters()]))
    assert torch.allclose(*gradients)
    assert all(map(torch.equal, network.parameters(), laid_out.parameters()))


@pytest.mark.parametrize(
    ("model", "threads", "channels_first"),
    [("bn", 1, []), ("bn", 2, ["block1", "block3"]), ("gn", 2, []), ("ln", 2, [])],
)
def test_blocks_of_few_channels_are_channels_first_for_threads(
    model: str, threads: int, channels_first: list[str], params: Params
) -> None:
    network = lay_out(network_for(Recipe.of(model, params)), CPU, threads)
    found = []
    for name, block in network.named_children():
        if name.startswith("block"):
            block.norm.register_forward_hook(
                lambda _, __, output, name=name: (
                    found.append(name) if output.is_contiguous() else None
                )
            )
    network(torch.randn(6, 1, 28, 28))
    assert found == channels_first
