"""The trainings of a study on a Ray cluster: each is a task, retried if its node dies."""

import logging
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import ray
from ray._private.authentication.authentication_token_setup import (
    maybe_enable_token_auth_if_token_available,
)
from ray._private.services import canonicalize_bootstrap_address_or_die

from stages.core.errors import PipelineError
from stages.core.params import DataName
from stages.preparation.sources import RAW, download_missing
from stages.studies.job import Job, Trained, run_job
from stages.studies.local import Finished

T = TypeVar("T")

_PACKAGES = ("torch", "numpy")  # whose versions decide the results
_GPU_SHARE = 0.25  # of a GPU, for the networks are small
_TRIES = 4


def run_jobs(jobs: Sequence[Job], address: str) -> Finished[Job, Trained]:
    """Run ``jobs`` on the cluster at ``address``: "auto" for one that this machine is in.

    Yields those that have ended, with their results or errors, and how many others run.

    Raises:
        PipelineError: there is no such cluster, or a node has other versions of the packages that
            decide the results.
    """
    with _connected(address.strip().rstrip("/"), jobs):
        task = ray.remote(max_retries=_TRIES - 1)(_run_on_node)
        versions = _versions()

        def start(job: Job) -> ray.ObjectRef:
            return task.options(**_needs(job)).remote(job, versions)

        for ended, left in hand_out(jobs, start, lambda: _count_slots(jobs[0])):
            results = [(job, _result_of(ref)) for job, ref in ended]
            yield results, min(_count_slots(jobs[0]), left)


def hand_out(
    jobs: Sequence[T], start: Callable[[T], ray.ObjectRef], count_slots: Callable[[], int]
) -> Iterator[tuple[list[tuple[T, ray.ObjectRef]], int]]:
    """Start a task for each of ``jobs``; yield those that have ended, and how many are left.

    At any time, twice as many tasks are handed out as can run: no core waits for its next one, and
    Ray never has to hold all tasks of a long study.
    """
    waiting = iter(jobs)
    handed_out: dict[ray.ObjectRef, T] = {}
    left = len(jobs)
    while left:
        for job in islice(waiting, max(0, 2 * count_slots() - len(handed_out))):
            handed_out[start(job)] = job
        refs = list(handed_out)
        ray.wait(refs)
        ended, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        left -= len(ended)
        yield [(handed_out.pop(ref), ref) for ref in ended], left


def _run_on_node(job: Job, versions: str) -> tuple[str, Trained | PipelineError | None]:
    """Return the versions on this node, and the result of ``job`` if they are ``versions``."""
    here = _versions()
    return here, run_job(job) if here == versions else None


def _versions() -> str:
    return ", ".join(f"{name} {version(name).partition('+')[0]}" for name in _PACKAGES)


def _needs(job: Job) -> dict[str, float]:
    """Return the share of a node that ``job`` takes."""
    train = job.recipe.train
    return {"num_cpus": train.threads, "num_gpus": _GPU_SHARE * (train.device == "cuda")}


def _count_slots(job: Job) -> int:
    """Return how many trainings like ``job`` the cluster's present nodes can run at once."""
    there = ray.cluster_resources()
    needs = {"CPU": _needs(job)["num_cpus"], "GPU": _needs(job)["num_gpus"]}
    return max(1, min(int(there.get(kind, 0) / x) for kind, x in needs.items() if x))


def _result_of(done: ray.ObjectRef) -> Trained | PipelineError:
    try:
        versions, result = ray.get(done)
    except ray.exceptions.RayTaskError:  # not the machine's fault but ours
        raise
    except ray.exceptions.RayError as error:
        kind = type(error).__name__
        return PipelineError(f"killed {_TRIES} times ({kind}); is there too little memory?")
    if versions != _versions():
        raise PipelineError(
            f"a node of the cluster has {versions}, but this machine {_versions()}; install "
            "requirements-ray.txt on both"
        )
    return result


@contextmanager
def _connected(address: str, jobs: Sequence[Job]) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        _collect_files(Path(folder), {job.recipe.data.name for job in jobs})
        try:
            # Ray would do so for "auto" alone, and after we have looked for the cluster.
            maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
            _reach(address)
            ray.init(
                address,
                runtime_env={"working_dir": folder},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise PipelineError(
                f"no Ray cluster at {address!r} ({reason}); start one with `ray start --head` and "
                "give auto, HOST:6379 or ray://HOST:10001; or train here, without RAY"
            ) from None
        try:
            yield
        finally:
            ray.shutdown()


def _reach(address: str) -> None:
    """Fail at once if nobody listens there, or a web server; Ray itself would wait for minutes."""
    if "://" not in address:
        address = f"//{canonicalize_bootstrap_address_or_die(address)}"
    url = urlsplit(address)
    if url.port:
        with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if connection.recv(5) == b"HTTP/":  # Ray's own protocol begins otherwise
                raise ValueError("a web server, such as Ray's dashboard, is there")


def _collect_files(folder: Path, data_sets: set[DataName]) -> None:
    """Copy into ``folder`` what a node needs: the code and the raw files."""
    shutil.copytree("stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    for name in data_sets:
        download_missing(RAW, name)  # here, once: the nodes may have no network
        shutil.copytree(RAW / name, folder / RAW / name)
