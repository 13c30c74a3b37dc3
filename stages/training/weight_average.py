"""An exponential moving average of a network's weights."""

import copy
from collections.abc import Mapping

import torch
from torch import nn


class WeightAverage:
    """The average of ``network`` over its steps, normalization buffers included.

    Its decay warms up, so that the initial weights do not linger in it: see ``decay_at``. It gives
    what torch's ``AveragedModel`` gives with the same decays, but looks the tensors up once: at
    each step that takes longer than the optimizer.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start from the present weights; ``decay`` is what the decay of a step warms up to."""
        self.network = copy.deepcopy(network)
        self._decay = decay
        self._averaged, self._current = (
            [x.detach() for x in (*each.parameters(), *each.buffers()) if x.is_floating_point()]
            for each in (self.network, network)
        )

    def update(self, step: int) -> None:
        """Take in the network's weights after ``step``, which counts from 1."""
        torch._foreach_lerp_(self._averaged, self._current, 1 - decay_at(step, self._decay))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the average, as ``restore`` takes it."""
        return self.network.state_dict()

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from an average that was saved.

        Raises:
            RuntimeError: the state is another network's.
        """
        self.network.load_state_dict(state)


def decay_at(step: int, decay: float) -> float:
    """Return the old average's share in that of ``step`` (from 1): at most ``decay``.

    The warm-up (1 + t) / (10 + t) is that of TensorFlow's ExponentialMovingAverage. After a step t
    below 9 / (1 - decay) it averages about the last tenth of all steps so far.
    """
    return min(decay, (1 + step) / (10 + step))
