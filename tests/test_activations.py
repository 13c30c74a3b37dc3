"""What is observed inside a network, against the layers called one after another."""

import torch

from stages.core.dataset import Pixels, Split
from stages.evaluation.activations import BLOCKS, NUM_IMAGES, observe
from tests.conftest import build


def test_observed_are_the_layers_inputs_and_outputs(test_split: Split) -> None:
    torch.manual_seed(0)
    network, pixels = build("batch").eval(), Pixels(0.13, 0.31)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.05, 0.2)
            torch.nn.init.uniform_(layer.weight, 0.5, 2)
    observed = observe(network, test_split, pixels, torch.device("cpu"))
    assert tuple(observed) == BLOCKS
    activations = (test_split.images[:NUM_IMAGES].float() / 255 - 0.13) / 0.31
    with torch.no_grad():
        before = network.block2.relu(network.block2.conv(network.block1(activations)))
        after = network.block2.norm(before)
    one, layer = observed["block2"], network.block2.norm
    torch.testing.assert_close(one.batch_mean, before.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(one.batch_variance, before.var(dim=(0, 2, 3), correction=0))
    assert torch.equal(one.running_mean, layer.running_mean)
    assert torch.equal(one.running_variance, layer.running_var)
    for shares, values in ((one.before, before), (one.after, after)):
        first, last = float(one.edges[20]), float(one.edges[35])
        inside = ((values >= first) & (values < last)).double().mean()
        assert abs(float(shares[20:35].sum() - inside)) < 1e-4
        assert abs(float(shares.sum()) - 1) < 1e-4
    assert not torch.allclose(one.before, one.after, atol=0.01)
