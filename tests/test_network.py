import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stages.core.errors import PipelineError
from stages.model.network import Skipped, convolution_weights, count_parameters
from stages.model.normalization import (
    NORMALIZATIONS,
    STUDY_NORMALIZATIONS,
    GhostBatchNorm2d,
    Normalization,
)
from tests.conftest import build

# As in the comments of the network: the output's channels, height and width after each part.
SHAPES = {
    "block1": (8, 26, 26),
    "block2": (16, 24, 24),
    "squeeze": (8, 24, 24),
    "max_pool": (8, 12, 12),
    "block3": (12, 10, 10),
    "block4": (16, 8, 8),
    "block5": (16, 6, 6),
    "block6": (16, 6, 6),
    "average_pool": (16, 1, 1),
    "classify": (10, 1, 1),
    "logits": (10,),
}
# 9 weights an input and output channel in a 3x3 convolution, 1 in a 1x1; 2 a normalized channel.
PARAMETERS = (
    9 * (1 * 8 + 8 * 16 + 8 * 12 + 12 * 16 + 16 * 16 + 16 * 16)
    + 16 * 8
    + 16 * 10
    + 2 * (8 + 16 + 12 + 16 + 16 + 16)
)


@pytest.mark.parametrize("normalization", [*NORMALIZATIONS, *STUDY_NORMALIZATIONS])
def test_shapes_and_parameters(normalization: str) -> None:
    network = build(normalization)
    activations = torch.zeros(3, 1, 28, 28)
    for name, part in network.named_children():
        activations = part(activations)
        if name in SHAPES:
            assert activations.shape == (3, *SHAPES[name]), name
    assert count_parameters(network) == PARAMETERS == 8880


@pytest.mark.parametrize("placement", ["before", "after"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_order_of_layers_and_no_biases(normalization: str, placement: str) -> None:
    network = build(normalization, placement=placement)
    kinds = [type(layer) for layer in network.modules() if not isinstance(layer, nn.Sequential)]
    norm = nn.BatchNorm2d if normalization == "batch" else nn.GroupNorm
    block = [nn.Conv2d, norm, nn.ReLU] if placement == "before" else [nn.Conv2d, nn.ReLU, norm]
    assert kinds == [
        *block, *block, nn.Conv2d, nn.MaxPool2d,
        *block, *block, nn.Dropout, *block, nn.Dropout, *block,
        nn.AvgPool2d, nn.Conv2d, nn.Flatten,
    ]  # fmt: skip
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert all(convolution.bias is None for convolution in convolutions)


@pytest.mark.parametrize("kind", ["batch", "group", "layer", "none"])
@pytest.mark.parametrize("skip", [False, True])
def test_extra_blocks(kind: str, skip: bool) -> None:
    """Each is one more convolution of 16 to 16 channels, with a scale and a shift of 16."""
    network = build(kind, extra_blocks=3, skip=skip)
    assert count_parameters(network) == PARAMETERS + 3 * (9 * 16 * 16 + 2 * 16)
    names = [name for name, _ in network.named_children() if name.startswith("block")]
    assert names == [f"block{number}" for number in range(1, 10)]
    activations = torch.randn(2, 16, 6, 6)
    block = network.block8.eval()
    alone = nn.Sequential(*block)(activations)
    assert isinstance(block, Skipped) == skip
    assert torch.equal(block(activations), activations * skip + alone)


def test_without_extra_blocks_the_weights_are_as_ever() -> None:
    """The blocks are drawn after block 6; what stands before is the same for every depth."""
    drawn = []
    for extra_blocks in (0, 2):
        torch.manual_seed(5)
        drawn.append(build("layer", extra_blocks=extra_blocks).block6.conv.weight)
    assert torch.equal(*drawn)


def test_he_initialization() -> None:
    """A standard deviation of sqrt(2 / inputs), which keeps activations through ReLUs."""
    torch.manual_seed(0)
    for weight in convolution_weights(build("none", extra_blocks=64, initialization="he")):
        inputs = weight[0].numel()
        if weight.numel() > 2000:
            assert float(weight.detach().std()) == pytest.approx((2 / inputs) ** 0.5, rel=0.1)


@pytest.mark.parametrize("first", [0, 1, 3, 6])
def test_layer_normalization_in_the_first_places(first: int) -> None:
    network = build("batch", layer_norm_first=first)
    norms = [
        layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm)
    ]
    assert [isinstance(layer, nn.GroupNorm) for layer in norms] == [True] * first + [False] * (
        6 - first
    )
    assert all(layer.num_groups == 1 for layer in norms[:first])


@pytest.mark.parametrize(("channels_per_group", "groups"), [(4, [2, 4, 3, 4, 4, 4]), (1, None)])
def test_groups(channels_per_group: int, groups: list[int] | None) -> None:
    network = build("group", channels_per_group)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.GroupNorm)]
    assert [norm.num_groups for norm in norms] == (groups or [8, 16, 12, 16, 16, 16])


def test_same_seed_same_weights_whatever_the_normalization() -> None:
    weights = []
    for normalization in NORMALIZATIONS:
        torch.manual_seed(3)
        network = build(normalization)
        weights.append([p for p in network.parameters() if p.dim() == 4])
    for other in weights[1:]:
        assert all(torch.equal(a, b) for a, b in zip(weights[0], other, strict=True))


@pytest.mark.parametrize(
    ("normalization", "channels_per_group", "message"),
    [
        ("weight", None, r"'weight' is unknown; choose one of \['batch', 'group', 'layer', "),
        ("group", 3, r"3, which does not divide 8 channels; choose one of \[1, 2, 4, 8\]"),
        ("group", 8, r"8, which does not divide 12 channels; choose one of \[1, 2, 3, 4, 6, 12\]"),
        ("group", None, "None, which does not divide 8 channels"),
        ("group", 0, "0, which does not divide 8 channels"),
    ],
)
def test_wrong_normalization(
    normalization: str, channels_per_group: int | None, message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        build(normalization, channels_per_group)


def test_normalizations_that_equal_another() -> None:
    """Of fresh layers, whose scale is 1 and shift 0: these have another shape."""
    torch.manual_seed(0)
    activations = torch.randn(5, 12, 7, 7)

    def ours(normalization: str, **options: int) -> torch.Tensor:
        return Normalization(normalization, **options).layer(12)(activations)

    over_all = nn.LayerNorm([12, 7, 7], elementwise_affine=False)(activations)
    torch.testing.assert_close(ours("layer"), over_all)
    torch.testing.assert_close(ours("instance"), nn.InstanceNorm2d(12)(activations))
    assert torch.equal(ours("instance"), ours("group", channels_per_group=1))
    assert torch.equal(ours("layer"), ours("group", channels_per_group=12))
    at_one_place = nn.LayerNorm(12)(activations[:, :, 3, 5])
    torch.testing.assert_close(ours("channels")[:, :, 3, 5], at_one_place)
    torch.testing.assert_close(ours("batch", batch=1), ours("instance"))
    assert torch.equal(ours("none"), activations)


@pytest.mark.parametrize(("images", "of_rest"), [(4, 2), (3, 1), (1, 1)])
def test_ghost_batch_normalization(images: int, of_rest: int) -> None:
    """Against the definition, computed part by part in float64."""
    torch.manual_seed(0)
    activations = 3 * torch.randn(10, 8, 5, 5) + 2
    layer = GhostBatchNorm2d(8, images)
    parts = activations.double().split(images)
    assert len(parts[-1]) == of_rest
    over = {"dim": (0, 2, 3), "keepdim": True}
    expected = [
        (part - part.mean(**over)) / (part.var(**over, unbiased=False) + layer.eps).sqrt()
        for part in parts
    ]
    torch.testing.assert_close(layer(activations), torch.cat(expected).float())
    means, variances = (
        torch.stack([getattr(part, name)(**over).flatten() for part in parts]).mean(0)
        for name in ("mean", "var")
    )
    torch.testing.assert_close(layer.running_mean, (0.1 * means).float())
    torch.testing.assert_close(layer.running_var, (0.9 + 0.1 * variances).float())

    evaluated, reference = layer.eval()(activations), nn.BatchNorm2d(8)
    reference.load_state_dict(layer.state_dict())
    assert torch.equal(evaluated, reference.eval()(activations))


def test_a_whole_batch_is_normalized_by_its_first_images() -> None:
    """As torch does in evaluation mode with the statistics of these images, gradients included."""
    torch.manual_seed(0)
    activations = (3 * torch.randn(10, 8, 5, 5) + 2).requires_grad_()
    layer = GhostBatchNorm2d(8, 4, by_first=True)
    first = activations[:4].transpose(0, 1).flatten(1)  # [channels, numbers]
    mean, variance = first.mean(1), first.var(1, unbiased=False)
    expected = F.batch_norm(activations, mean.detach(), variance.detach(), eps=layer.eps)
    torch.testing.assert_close(layer(activations), expected)
    torch.testing.assert_close(layer.running_mean, 0.1 * mean)
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * first.var(1))
    # The first images on their own have the gradients of ordinary batch normalization.
    for normalize in (layer, nn.BatchNorm2d(8)):
        normalized = normalize(activations[:4] if normalize is not layer else activations)[:4]
        found = torch.autograd.grad(normalized.pow(3).sum(), activations)[0]
        expected = found if normalize is layer else expected
    torch.testing.assert_close(found, expected)
