"""The limit: what the same cores do at their best, and the arithmetic of an epoch."""

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from stages.checkpoint import network_for
from tests.benchmarks.timing import TEST_IMAGES, TRAIN_IMAGES, timed_params

_SIZE = 2048
_SECONDS = 2


def matmul_rate(threads: int) -> float:
    """Return the rate of single-precision matrix multiplication, best of 2 s, in GFLOP/s."""
    torch.set_num_threads(threads)
    a, b = torch.rand(2, _SIZE, _SIZE)
    fastest, end = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, b)
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * _SIZE**3 / fastest / 1e9


def forward_gflop() -> float:
    """Return the arithmetic of one image's way through the network, two for a multiply-add."""
    network = network_for("bn", timed_params(1))
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 1, 28, 28))
    return counter.get_total_flops() / 2 / 1e9


def least_seconds(gflop_per_second: float) -> float:
    """Return the least time of an epoch; the backward pass takes two forward ones."""
    return forward_gflop() * (3 * TRAIN_IMAGES + TEST_IMAGES) / gflop_per_second
