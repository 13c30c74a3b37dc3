"""An exponential moving average of a network's weights."""

import copy
from collections.abc import Mapping
from itertools import compress

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """The average of ``network`` over its steps, normalization buffers included.

    It gives what torch's ``AveragedModel`` gives with that library's own update, but looks the
    tensors up once: at each step that takes longer than the optimizer, and makes a GPU wait.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start without a value; ``decay`` is the old average's weight in a step."""
        self.network = copy.deepcopy(network)
        self._update = get_ema_multi_avg_fn(decay)
        self._is_empty = True
        averaged, current = (
            [x.detach() for x in (*each.parameters(), *each.buffers())]
            for each in (self.network, network)
        )
        is_real = [x.is_floating_point() for x in current]
        self._reals = list(compress(averaged, is_real)), list(compress(current, is_real))
        self._all = averaged, current

    def update(self) -> None:
        """Take in the network's present weights; the first ones become the average."""
        if self._is_empty:
            torch._foreach_copy_(*self._all)
            self._is_empty = False
        else:
            self._update(*self._reals, None)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the average, as ``restore`` takes it."""
        return self.network.state_dict()

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from an average that was saved after some update.

        Raises:
            RuntimeError: the state is another network's.
        """
        self.network.load_state_dict(state)
        self._is_empty = False
