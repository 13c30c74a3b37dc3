"""Jobs, such as the trainings of a study, side by side in processes of this machine."""

import os
import signal
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import active_children, get_context
from typing import TypeVar

from stages.core.errors import PipelineError
from stages.core.process import end_with, interrupts_held

J = TypeVar("J")
T = TypeVar("T")
Ended = list[tuple[J, T | PipelineError]]
Finished = Generator[tuple[Ended[J, T], int], None, None]


def run_jobs(run: Callable[[J], T], jobs: list[J], workers: int) -> Finished[J, T]:
    """Run ``run`` on each of ``jobs``, ``workers`` at once.

    Yields each job with its results or its error as it ends, and how many others run. A job whose
    process is killed, as happens when memory runs out, is tried once more, alone.
    """
    while jobs:
        done: set[int] = set()
        with suppress(BrokenProcessPool):  # something killed a worker: one of the first not done
            for ended, running in _run_in_pool(run, jobs, workers):
                done.update(id(job) for job, _ in ended)
                yield ended, running
        jobs = [job for job in jobs if id(job) not in done]
        suspects, jobs = jobs[:workers], jobs[workers:]
        for suspect in suspects:
            try:
                yield from _run_in_pool(run, [suspect], 1)
            except BrokenProcessPool:
                yield [(suspect, PipelineError("killed; is there too little memory?"))], 0


def _run_in_pool(run: Callable[[J], T], jobs: list[J], workers: int) -> Finished[J, T]:
    """Run ``run`` on each of ``jobs``, in one of ``workers`` processes.

    Raises:
        BrokenProcessPool: something killed a worker; the others are ended too.
        PipelineError: the system gives processes nothing to synchronize by.
    """
    context = get_context("spawn")
    try:
        context.Lock()  # the pool has several, and its own error would name nothing
    except OSError as error:
        raise PipelineError(
            f"/dev/shm cannot be written ({error.strerror}), and trainings side by side need it; "
            "free space there, mount it writable, or start the container with --shm-size"
        ) from None
    with ProcessPoolExecutor(workers, context, end_with, initargs=(os.getpid(),)) as pool:
        try:
            with interrupts_held(), _interrupts_blocked():
                running = {pool.submit(run, job): job for job in jobs}
                pool.submit(os.getpid)  # only now a pool notices the death of its last worker
            for left, future in zip(reversed(range(len(jobs))), as_completed(running), strict=True):
                yield [(running[future], future.result())], min(workers, left)
        finally:
            for worker in active_children():
                worker.terminate()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Have processes started in the block ignore Ctrl-C from their start: this one ends them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
