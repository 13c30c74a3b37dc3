"""How many trainings run side by side."""

import os

from stages.params import TrainParams


def count_workers(params: TrainParams) -> int:
    """Return how many trainings of ``params.threads`` threads fit this process's cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // params.threads)
