"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, algorithm 3)."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

STEPS_PER_BASIS = 50  # 10 to 100 in the paper
_DECAY = 0.99  # a step, of the second moment and of the covariance
_EPSILON = 1e-8  # added to the root of the second moment: Adam's

State = dict[str, torch.Tensor]


class Soap(torch.optim.Optimizer):
    """Adam on weights in a basis in which the parts of their gradient hardly covary.

    A convolution's weight is a matrix W here: a row for each output channel, a column for each
    place and input channel. With Q the eigenvectors of the running mean of G' G of its gradients
    G, Adam moves W Q by G Q, and W follows. This is the paper's one-sided form, on the side of the
    inputs; a basis for the outputs too took longer and gave nothing. The scales and shifts of
    normalizations are vectors: Adam moves them as they are.

    ``update_bases`` is costly and no part of ``step``: call it every ``STEPS_PER_BASIS`` steps.
    What is kept stays at its place in memory, as a recorded CUDA graph needs it.
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        lr: float | torch.Tensor,
        momentum: float,
        weight_decay: float,
    ) -> None:
        """Prepare to move ``weights``, each [C] or, of a convolution, [C, inputs, H, W].

        Args:
            weights: what to move.
            lr: learning rate; as a tensor, a recorded step reads its present value.
            momentum: decay a step of the first moment, 0 to below 1.
            weight_decay: times the learning rate, the share by which weights shrink in a step,
                whatever their gradient (Loshchilov and Hutter 2019).
        """
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move all weights by their gradients; the first call only takes the first bases."""
        for group in self.param_groups:
            if group["params"][0] in self.state:
                _step(group["params"], [self.state[weight] for weight in group["params"]], group)
            else:
                self.state.update({weight: _first_state(weight) for weight in group["params"]})
                first = group["params"][0]
                self.state[first]["steps"] = torch.zeros((), device=first.device)

    @torch.no_grad()
    def update_bases(self) -> None:
        """Bring each basis nearer to the eigenvectors, by a power iteration and its QR."""
        for state in self.state.values():
            if "basis" in state:
                _update_basis(state)


def as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """Return [C, H * W * inputs] of [C, inputs, H, W]: a view, where that is channels last."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _as_weight(matrix: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    channels, inputs, height, width = shape
    return matrix.view(channels, height, width, inputs).permute(0, 3, 1, 2)


def _first_state(weight: nn.Parameter) -> State:
    state, moved = {}, weight
    if weight.dim() > 1:
        gradient = as_matrix(weight.grad)
        state["covariance"] = (1 - _DECAY) * (gradient.T @ gradient)
        vectors = torch.linalg.eigh(state["covariance"]).eigenvectors
        state["basis"] = vectors.flip(1).contiguous()  # the largest eigenvalue's first
        state["turned"] = moved = as_matrix(weight) @ state["basis"]
    return state | {name: torch.zeros_like(moved) for name in ("first_moment", "second_moment")}


def _step(weights: list[nn.Parameter], states: list[State], group: dict[str, Any]) -> None:
    gradients = [weight.grad if weight.dim() == 1 else as_matrix(weight.grad) for weight in weights]
    steps = states[0]["steps"].add_(1)
    # What Adam itself calls; its class would count the steps of each weight, which takes longer.
    torch._fused_adamw_(
        [state.get("turned", weight) for weight, state in zip(weights, states, strict=True)],
        [
            gradient @ state["basis"] if "basis" in state else gradient
            for gradient, state in zip(gradients, states, strict=True)
        ],
        [state["first_moment"] for state in states],
        [state["second_moment"] for state in states],
        [],
        [steps] * len(states),
        lr=group["lr"],
        beta1=group["momentum"],
        beta2=_DECAY,
        weight_decay=group["weight_decay"],
        eps=_EPSILON,
        amsgrad=False,
        maximize=False,
    )
    for weight, gradient, state in zip(weights, gradients, states, strict=True):
        if "basis" in state:
            weight.copy_(_as_weight(F.linear(state["turned"], state["basis"]), weight.shape))
            state["covariance"].addmm_(gradient.T, gradient, beta=_DECAY, alpha=1 - _DECAY)


def _update_basis(state: State) -> None:
    """Give a weight a new basis, and turn it and its moments to that."""
    basis = state["basis"]
    product = state["covariance"] @ basis
    order = (basis * product).sum(0).argsort(descending=True)  # of the eigenvalues' estimates
    new_basis = torch.linalg.qr(product[:, order]).Q
    turn = basis.T @ new_basis
    for tensor in (state["turned"], state["first_moment"]):
        tensor.copy_(tensor @ turn)
    state["second_moment"].copy_(state["second_moment"][:, order])
    basis.copy_(new_basis)
