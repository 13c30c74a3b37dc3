"""How many trainings run side by side."""

import os

from stages.params import TrainParams


def count_workers(params: TrainParams, trainings: int) -> int:
    """Return how many of ``trainings``, of ``params.threads`` threads each, run at once.

    As many as the cores have room for. Trainings of one thread may outnumber the cores by less
    than two to one: they share them without loss, and no core idles while the last one runs.
    Threads of several trainings on one core wait for one another at every operation.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    room = max(1, (cores or 1) // params.threads)
    if params.threads == 1 and room < trainings < 2 * room:
        return trainings
    return min(trainings, room)
