"""SOAP against another implementation of it, against Adam, and by what must hold of it."""

import pytest
import torch
from pytorch_optimizer import SOAP as Reference
from torch import nn

from stages.training import soap
from stages.training.soap import Soap, as_matrix

SHAPE = (12, 2, 2, 2)  # as a matrix 12 x 8: a gradient has a part in each direction


def _gradients(steps: int, *shape: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [_laid_out(torch.randn(shape)) for _ in range(steps)]


def _weight(*shape: int) -> nn.Parameter:
    torch.manual_seed(1)
    return nn.Parameter(_laid_out(torch.randn(shape)))


def _laid_out(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def test_equals_another_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which adds each gradient to the covariance."""
    monkeypatch.setattr(soap, "_STEPS_PER_COVARIANCE", 1)
    monkeypatch.setattr(soap, "_STEPS_PER_BASIS", 5)
    weight, scale = _weight(*SHAPE), _weight(5)
    others = nn.Parameter(as_matrix(weight.detach()).clone()), nn.Parameter(scale.detach().clone())
    ours = Soap([weight, scale], lr=0.01, momentum=0.9, weight_decay=0)
    reference = Reference(
        others,
        lr=0.01,
        betas=(0.9, soap._DECAY),
        shampoo_beta=soap._COVARIANCE_DECAY,
        weight_decay=0,
        precondition_frequency=5,
        max_precondition_dim=8,  # leaves out the side of 12
    )
    start = weight.detach().clone()
    gradients = zip(_gradients(40, *SHAPE), _gradients(40, 5), strict=True)
    for step, (of_weight, of_scale) in enumerate(gradients):
        weight.grad, scale.grad = of_weight, of_scale
        others[0].grad, others[1].grad = as_matrix(of_weight).clone(), of_scale.clone()
        ours.step()
        reference.step()
        if step:
            ours.update_bases(step)
        torch.testing.assert_close(as_matrix(weight), others[0], rtol=0, atol=2e-5)
        torch.testing.assert_close(scale, others[1], rtol=0, atol=2e-5)
    assert (weight - start).abs().max() > 0.05  # they went some way


def test_vectors_are_moved_by_adam_with_decoupled_weight_decay() -> None:
    ours, theirs = _weight(7), _weight(7)
    soap_, adamw = (
        Soap([ours], lr=0.01, momentum=0.8, weight_decay=0.3),
        torch.optim.AdamW([theirs], lr=0.01, betas=(0.8, soap._DECAY), weight_decay=0.3),
    )
    first, *others = _gradients(20, 7)
    ours.grad = first
    soap_.step()  # takes its first state alone
    for gradient in others:
        ours.grad = theirs.grad = gradient
        soap_.step()
        adamw.step()
    torch.testing.assert_close(ours, theirs)


def test_covariance_is_the_mean_of_every_tenth_gradient() -> None:
    weight = _weight(*SHAPE)
    optimizer = Soap([weight], lr=0.01, momentum=0.9, weight_decay=0)
    gradients = _gradients(31, *SHAPE)
    for step, weight.grad in enumerate(gradients, start=1):
        optimizer.step()
        optimizer.update_bases(step)
    first, *taken = (as_matrix(gradients[i]).T @ as_matrix(gradients[i]) for i in (0, 9, 19, 29))
    expected = 0.0729 * first + 0.081 * taken[0] + 0.09 * taken[1] + 0.1 * taken[2]
    torch.testing.assert_close(optimizer.state[weight]["covariance"], expected)


def test_what_is_kept_stays_at_its_place() -> None:
    """A recorded CUDA graph writes where it was recorded to."""
    weight = _weight(*SHAPE)
    optimizer = Soap([weight], lr=0.01, momentum=0.9, weight_decay=0)
    places = []
    for gradient in _gradients(4, *SHAPE):
        weight.grad = gradient
        optimizer.step()
        optimizer.update_bases(50)
        places.append([tensor.data_ptr() for tensor in optimizer.state[weight].values()])
    assert len(places[0]) == 7
    assert all(place == places[0] for place in places)
