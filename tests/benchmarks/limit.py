"""The limit: what the same cores do at their best, and the arithmetic of an epoch."""

import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from stages.core.recipe import Recipe
from stages.model.network import network_for
from tests.benchmarks.timing import TEST_IMAGES, TRAIN_IMAGES, time_call, timed_params

_SECONDS = 2


def matmul_rate(threads: int) -> float:
    """Return the rate of single-precision matrix multiplication, in GFLOP/s."""
    torch.set_num_threads(threads)
    a, b = torch.rand(2, 2048, 2048)
    return _rate(lambda: torch.mm(a, b))


def convolution_rate(threads: int) -> float:
    """Return the rate of a convolution from 64 to 64 channels, in GFLOP/s.

    It is another library's work than the matrix multiplication, and may be the faster.
    """
    torch.set_num_threads(threads)
    images = torch.rand(16, 64, 32, 32).to(memory_format=torch.channels_last)
    weight = torch.rand(64, 64, 3, 3).to(memory_format=torch.channels_last)
    return _rate(lambda: torch.conv2d(images, weight))


def _rate(function: Callable[[], object]) -> float:
    """Return the GFLOP/s of the fastest call within 2 s."""
    fastest, end = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        fastest = min(fastest, time_call(function))
    return _gflop(function) / fastest


def _gflop(function: Callable[[], object]) -> float:
    """Return the arithmetic of a call in 1e9 operations, two for a multiply-add."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() / 1e9


def forward_gflop() -> float:
    """Return the arithmetic of one image's way through the network, two for a multiply-add."""
    network = network_for(Recipe.of("bn", timed_params(1)))
    return _gflop(lambda: network(torch.zeros(2, 1, 28, 28))) / 2


def least_seconds(gflop_per_second: float) -> float:
    """Return the least time of an epoch; the backward pass takes two forward ones."""
    return forward_gflop() * (3 * TRAIN_IMAGES + TEST_IMAGES) / gflop_per_second
