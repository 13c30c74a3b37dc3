"""The trainings of a study on this machine, as many at once as its cores have room for."""

import os
import signal
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import active_children, get_context

from stages.core.errors import PipelineError
from stages.core.process import end_with, interrupts_held
from stages.studies.job import Job, Trained, run_job

Ended = list[tuple[Job, Trained | PipelineError]]
Finished = Generator[tuple[Ended, int], None, None]


def run_jobs(jobs: list[Job], workers: int) -> Finished:
    """Run ``jobs``, ``workers`` at once.

    Yields each job with its results or its error as it ends, and how many others run. A job whose
    process is killed, as happens when memory runs out, is tried once more, alone.
    """
    while jobs:
        done: set[int] = set()
        with suppress(BrokenProcessPool):  # something killed a worker: one of the first not done
            for ended, running in _run_in_pool(jobs, workers):
                done.update(job.number for job, _ in ended)
                yield ended, running
        jobs = [job for job in jobs if job.number not in done]
        suspects, jobs = jobs[:workers], jobs[workers:]
        for suspect in suspects:
            try:
                yield from _run_in_pool([suspect], 1)
            except BrokenProcessPool:
                yield [(suspect, PipelineError("killed; is there too little memory?"))], 0


def _run_in_pool(jobs: list[Job], workers: int) -> Finished:
    """Run ``jobs``, each in one of ``workers`` processes.

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
                running = {pool.submit(run_job, job): job for job in jobs}
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
