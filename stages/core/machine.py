"""Set up the machine for a training: device, threads, memory, and the same bits each time."""

import ctypes
import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

import loky
import torch
from numpy._core._multiarray_umath import __cpu_features__

from stages.core.errors import PipelineError
from stages.core.kernels import PORTABLE
from stages.core.params import TrainParams

# mallopt's parameters (malloc.h) and the largest threshold that glibc takes on 64 bits.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MAX_MMAP_THRESHOLD = 32 * 1024 * 1024


def set_up_machine(params: TrainParams) -> torch.device:
    """Set threads, determinism and memory for this process, and return its device.

    Raises:
        PipelineError: this machine lacks ``params.device``, or has fewer cores than
            ``params.threads``: the threads would wait for one another at every operation.
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
    torch.backends.cudnn.allow_tf32 = False  # of 10 bits: CPUs compute with 23
    _keep_freed_memory()
    if PORTABLE.keys() <= os.environ.keys() and describe_kernels() != "avx2":
        print("torch or numpy was imported before stages: last digits are those of this CPU's type")
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
    """Let glibc reuse the memory of freed activations instead of returning it at each step.

    Activations take a few MB; by default glibc may map and unmap such blocks each time, and
    the page faults then cost up to a third of a step.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # musl has none
            libc.mallopt(_M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def describe_training(device: torch.device) -> dict[str, str]:
    """Return the facts of machine and software that decide the bits of a training on ``device``.

    A package's local version, such as the +cpu of a torch without CUDA, decides none.
    """
    return {
        "device": _describe_device(device),
        "kernels": describe_kernels(),
        **{name: version(name).partition("+")[0] for name in ("torch", "numpy", "safetensors")},
    }


def describe_type(device: torch.device) -> str:
    """Return the machine's type in one line, for the records."""
    names = [describe_processor(), torch.backends.cpu.get_cpu_capability()]
    return ", ".join(names if device.type == "cpu" else [*names, _describe_device(device)])


def describe_kernels() -> str:
    """Return "avx2" where all libraries compute by it, else the instructions and the CPU."""
    instructions = torch.backends.cpu.get_cpu_capability()
    are_set = all(os.environ.get(name) == value for name, value in PORTABLE.items())
    if are_set and instructions == "AVX2" and not __cpu_features__["X86_V4"]:
        return "avx2"
    return f"{instructions} of {describe_processor()}"


def _describe_device(device: torch.device) -> str:
    return f"cuda, {torch.cuda.get_device_name()}" if device.type == "cuda" else device.type


def describe_processor() -> str:
    """Return the processor's name, family and model; CPUs sold under one name can differ in both.

    Family and model decide a CPU's caches and units, and so the order in which oneDNN and MKL
    add up.
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

    As many as fit on the cores. There may be more trainings of one thread than cores, up to
    twice as many: they share the cores without loss, and no core idles while the last one runs.
    With more threads each, they would wait for one another at every operation.
    """
    room = max(1, count_cores() // params.threads)
    if params.threads == 1 and room < trainings < 2 * room:
        return trainings
    return min(trainings, room)


def count_cores() -> int:
    """Return how many cores this process may use: by affinity, and by a container's CPU quota."""
    return loky.cpu_count()
