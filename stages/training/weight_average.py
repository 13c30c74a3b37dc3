"""An exponential moving average of a network's weights."""

import copy
from collections.abc import Mapping

import torch
from torch import nn


class WeightAverage:
    """The average of ``network`` over its steps, including the buffers of normalizations.

    Its decay warms up, so that the initial weights do not linger: see ``decay_at``. The result is
    that of torch's ``AveragedModel`` with the same decays. It looks the tensors up only once;
    doing so at each step would take longer than the optimizer.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start from the current weights; the decay warms up to ``decay``."""
        self.network = copy.deepcopy(network)
        self._decay = decay
        self._averaged, self._current = (
            [x.detach() for x in (*each.parameters(), *each.buffers()) if x.is_floating_point()]
            for each in (self.network, network)
        )

    def update(self, step: int) -> None:
        """Add the network's weights after ``step``, which counts from 1."""
        torch._foreach_lerp_(self._averaged, self._current, 1 - decay_at(step, self._decay))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the average, for ``restore``."""
        return self.network.state_dict()

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Resume from a saved average.

        Raises:
            RuntimeError: the state belongs to another network.
        """
        self.network.load_state_dict(state)


def decay_at(step: int, decay: float) -> float:
    """Return the share of the old average in the new one at ``step`` (from 1), at most ``decay``.

    The warm-up (1 + t) / (10 + t) is that of TensorFlow's ExponentialMovingAverage. After a step t
    below 9 / (1 - decay) it averages about the last tenth of all steps so far.
    """
    return min(decay, (1 + step) / (10 + step))
