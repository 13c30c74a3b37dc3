"""What the machine does for a training: device, threads, memory, and the same bits each time."""

import ctypes
import sys

import torch

from stages.errors import PipelineError
from stages.params import TrainParams

# mallopt's parameters (malloc.h) and the largest threshold that glibc takes on 64 bits.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MAX_MMAP_THRESHOLD = 32 * 1024 * 1024


def set_up_machine(params: TrainParams) -> torch.device:
    """Set threads, determinism and memory for this process, and return its device.

    Raises:
        PipelineError: ``params.device`` names a device that this machine lacks.
    """
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
    if name == "auto":
        name = next(device for device, is_there in available.items() if is_there)
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
