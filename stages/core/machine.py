"""The machine set up for a training: device, threads, memory, and the same bits each time."""

import ctypes
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

import loky
import torch

from stages.core.errors import PipelineError
from stages.core.params import TrainParams

# mallopt's parameters (malloc.h) and the largest threshold that glibc takes on 64 bits.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MAX_MMAP_THRESHOLD = 32 * 1024 * 1024


def set_up_machine(params: TrainParams) -> torch.device:
    """Set threads, determinism and memory for this process, and return its device.

    Raises:
        PipelineError: this machine lacks ``params.device`` or has fewer cores than
            ``params.threads``, which would wait for one another at every operation.
    """
    if params.threads > count_cores():
        raise PipelineError(
            f"train.threads is {params.threads}, but this process may use {count_cores()} cores; "
            f"set it to at most {count_cores()}"
        )
    torch.set_num_threads(params.threads)
    # Warnings only: CUDA has no deterministic backward pass of max-pooling.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing reads it
    torch.backends.cudnn.benchmark = False
    _keep_freed_memory()
    return _choose_device(params.device)


def _choose_device(name: str) -> torch.device:
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if not available[name]:
        there = [device for device, is_there in available.items() if is_there]
        raise PipelineError(f"train.device is {name}, which this machine lacks; it has {there}")
    return torch.device(name)


def _keep_freed_memory() -> None:
    """Have glibc reuse the memory of freed activations instead of returning it at each step.

    Activations have a few MB; by default glibc may map and unmap such blocks each time, and
    the page faults then cost up to a third of a step.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # musl has none
            libc.mallopt(_M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def describe_training(device: torch.device) -> dict[str, str]:
    """Return what of machine and software decides the bits of a training on ``device``."""
    return {
        "device": device.type,
        "processor": describe_processor(),
        "CPU instructions": torch.backends.cpu.get_cpu_capability(),
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{package: version(package) for package in ("torch", "numpy", "safetensors")},
    }


def describe_type(device: torch.device) -> str:
    """Return the machine's type in one line: what of ``describe_training`` is no software."""
    facts = describe_training(device)
    names = [facts["processor"], facts["CPU instructions"]]
    return ", ".join(names if device.type == "cpu" else [*names, facts["device"]])


def describe_processor() -> str:
    """Return the processor's name, with its family and model, which those of one name differ in.

    They decide its caches and units, by which oneDNN and MKL choose the order of their sums.
    """
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor()
    first = cpuinfo.read_text().partition("\n\n")[0]
    facts = dict(re.findall(r"^(.+?)\s*: (.+)$", first, re.MULTILINE))
    numbers = [f"{key} {facts[key]}" for key in ("cpu family", "model") if key in facts]
    return ", ".join([facts.get("model name", platform.processor()), *numbers])


def count_workers(params: TrainParams, trainings: int) -> int:
    """Return how many of ``trainings``, of ``params.threads`` threads each, run at once.

    As many as the cores have room for. Trainings of one thread may outnumber the cores by less
    than two to one: they share them without loss, and no core idles while the last one runs.
    Threads of several trainings on one core wait for one another at every operation.
    """
    room = max(1, count_cores() // params.threads)
    if params.threads == 1 and room < trainings < 2 * room:
        return trainings
    return min(trainings, room)


def count_cores() -> int:
    """Return how many cores this process may use: by affinity, and by a container's CPU quota."""
    return loky.cpu_count()
