"""A training step as one launch: recorded as a CUDA graph, then replayed."""

from collections.abc import Callable

import torch

_WARM_UP_STEPS = 3  # in which libraries set themselves up, before anything is recorded

Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class GraphedStep:
    """Does what ``step`` does, which must never wait for the GPU.

    A step of this network takes a few hundred kernels of some microseconds each; launched one
    by one, the GPU waits for Python. Recorded after a few steps, for the shape of that batch
    ("Whole-network capture" in PyTorch's notes on CUDA graphs); batches of another shape go
    step by step.
    """

    def __init__(self, step: Step) -> None:
        """Record nothing yet: the first steps are taken as they are."""
        self._step = step
        self._steps = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Take a step with a batch on the GPU; return what ``step`` returns."""
        self._steps += 1
        if self._steps <= _WARM_UP_STEPS:
            return self._step_aside(images, labels)
        if self._graph is None:
            self._record(images, labels)
        if images.shape != self._images.shape:
            return self._step(images, labels)
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._graph.replay()
        return self._result.clone()

    def _step_aside(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Take a step on a stream of its own, as recording needs it done before."""
        stream, main = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(main)
        with torch.cuda.stream(stream):
            result = self._step(images, labels)
        main.wait_stream(stream)
        return result

    def _record(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self._images, self._labels = images.clone(), labels.clone()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._result = self._step(self._images, self._labels)
