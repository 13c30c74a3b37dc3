"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, algorithm 3)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

_DECAY = 0.99  # per step, of the second moment
_EPSILON = 1e-8  # added to the root of the second moment: Adam's

# Covariances and bases take half a megabyte: each use drives as much out of a core's cache.
_STEPS_PER_COVARIANCE = 10
_COVARIANCE_DECAY = 0.9  # each time
_STEPS_PER_BASIS = 50  # 10 to 100 in the paper

State = dict[str, torch.Tensor]


class Soap(torch.optim.Optimizer):
    """Adam on the weights, in a basis where the components of their gradient hardly covary.

    A convolution's weight is a matrix W here: a row for each output channel, a column for each
    place and input channel. With Q the eigenvectors of the running mean of G' G of its gradients
    G, Adam moves W Q by G Q, and W follows. This is the paper's one-sided form, on the side of the
    inputs. The scales and shifts of normalizations are vectors: Adam moves them as they are.
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        lr: float,
        momentum: float,
        weight_decay: float,
    ) -> None:
        """Prepare to move ``weights``, each [C] or, of a convolution, [C, inputs, H, W].

        Args:
            weights: what to move; those of convolutions lie in memory with channels last.
            lr: learning rate.
            momentum: decay per step of the first moment, 0 to below 1.
            weight_decay: times the learning rate, the share by which weights shrink in a step,
                regardless of their gradient (Loshchilov and Hutter 2019).
        """
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move all weights by their gradients; the first call only computes the first bases."""
        for group in self.param_groups:
            if group["params"][0] in self.state:
                _step(group["params"], [self.state[weight] for weight in group["params"]], group)
            else:
                self.state.update({weight: _first_state(weight) for weight in group["params"]})
                first = group["params"][0]
                self.state[first]["steps"] = torch.zeros((), device=first.device)

    @torch.no_grad()
    def update_bases(self, steps: int) -> None:
        """Do what is due after ``steps`` steps; after most steps, nothing is.

        After every tenth step, its gradients enter the running mean of G' G; after every
        fiftieth, each basis moves towards the eigenvectors.
        """
        if steps % _STEPS_PER_COVARIANCE:
            return
        for state in self.state.values():
            if "basis" in state:
                gradient = state["gradient"] @ state["basis"].T
                new, old = 1 - _COVARIANCE_DECAY, _COVARIANCE_DECAY
                state["covariance"].addmm_(gradient.T, gradient, beta=old, alpha=new)
                if steps % _STEPS_PER_BASIS == 0:
                    _update_basis(state)


def as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """View [C, inputs, H, W] as [C, H * W * inputs].

    Raises:
        RuntimeError: it does not lie in memory with channels last.
    """
    return weight.permute(0, 2, 3, 1).view(len(weight), -1)


def _first_state(weight: nn.Parameter) -> State:
    state, moved = {}, weight
    if weight.dim() > 1:
        gradient = as_matrix(weight.grad)
        state["covariance"] = (1 - _COVARIANCE_DECAY) * (gradient.T @ gradient)
        vectors = torch.linalg.eigh(state["covariance"]).eigenvectors
        state["basis"] = vectors.flip(1).contiguous()  # the largest eigenvalue's first
        state["turned"] = moved = as_matrix(weight) @ state["basis"]
        state["gradient"] = gradient @ state["basis"]  # rotated too, since no step replaces it
    return state | {name: torch.zeros_like(moved) for name in ("first_moment", "second_moment")}


def _step(weights: list[nn.Parameter], states: list[State], group: dict[str, Any]) -> None:
    pairs = list(zip(weights, states, strict=True))
    for weight, state in pairs:
        if "basis" in state:
            torch.mm(as_matrix(weight.grad), state["basis"], out=state["gradient"])
    steps = states[0]["steps"].add_(1)
    # The function behind torch's Adam; its class counts the steps of each weight, which is slower.
    torch._fused_adamw_(
        [state.get("turned", weight) for weight, state in pairs],
        [state.get("gradient", weight.grad) for weight, state in pairs],
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
    for weight, state in pairs:
        if "basis" in state:
            torch.mm(state["turned"], state["basis"].T, out=as_matrix(weight))


def _update_basis(state: State) -> None:
    """Give a weight a new basis, and rotate the weight and its moments into it."""
    basis = state["basis"]
    product = state["covariance"] @ basis
    order = (basis * product).sum(0).argsort(descending=True)  # of the eigenvalues' estimates
    new_basis = torch.linalg.qr(product[:, order]).Q
    turn = basis.T @ new_basis
    for tensor in (state["turned"], state["first_moment"]):
        tensor.copy_(tensor @ turn)
    state["second_moment"].copy_(state["second_moment"][:, order])
    basis.copy_(new_basis)
