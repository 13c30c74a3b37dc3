"""Where B's time goes, by kind of work, from torch.profiler.

The profiler slows what is between the operations. The shares are therefore those of an epoch
without it: what its operations do not account for there is the rest. Both are the fastest of
several, since what else the machine does only adds time, and the rest is a small difference.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from stages import training
from stages.soap import Soap
from stages.training import Training
from stages.weight_average import WeightAverage
from tests.benchmarks.own import prepare
from tests.benchmarks.timing import time_call

_IMAGES = 6_000  # with 1,000 test images: the proportion of the whole job
_ROUNDS = 7
_EVALUATION, _EVALUATED_LAYERS = "evaluation without its layers", "evaluation's layers"
_RANGES = {
    "augmentation": (Training, "_augmented"),
    _EVALUATION: (training, "compute_logits"),
    "average of the weights": (WeightAverage, "update"),
    "optimizer": (Soap, "update_bases"),
}
_LAYERS = {  # parts of operators' names
    "convolution": ("conv",),
    "normalization": ("batch_norm", "group_norm"),
    "pooling and activation": ("pool", "relu", "threshold", "clamp_min", "mean"),
}
_KINDS = _LAYERS | {"optimizer": ("Optimizer.", "_fused_sgd")}


def break_down(model: str, threads: int) -> dict[str, float]:
    """Return the share of an epoch's time that each kind of work takes."""
    run = prepare(model, threads, _IMAGES, num_test_images=_IMAGES // 6)
    seconds, operations = [], []
    for _ in range(_ROUNDS):
        run.epochs.clear()  # the rounds take more epochs than there are
        run.run_epoch()  # slower than others, for it follows the profiler's work on the last round
        seconds.append(time_call(run.run_epoch))
        operations.append(_profile(run))
    fastest = min(operations, key=lambda kinds: sum(kinds.values()))
    shares = {kind: spent / min(seconds) for kind, spent in fastest.items()}
    return shares | {"rest": 1 - sum(shares.values())}


def _profile(run: Training) -> dict[str, float]:
    """Return the seconds of an epoch that each kind of operation takes."""
    with _named_ranges(), profile(activities=[ProfilerActivity.CPU]) as profiler:
        run.run_epoch()
    seconds: dict[str, float] = defaultdict(float)
    for event in profiler.events():
        seconds[_kind(event)] += event.self_cpu_time_total / 1e6
    del seconds["rest"]
    return seconds


def _kind(event: FunctionEvent) -> str:
    """Return the kind of the outermost event around ``event`` that has one."""
    kinds = ["rest"]
    around: FunctionEvent | None = event
    while around is not None:
        kinds.append(_own_kind(around.name) or kinds[-1])
        around = around.cpu_parent
    is_layer = any(kind in _LAYERS for kind in kinds)
    return _EVALUATED_LAYERS if kinds[-1] == _EVALUATION and is_layer else kinds[-1]


def _own_kind(name: str) -> str | None:
    if name in _RANGES:
        return name
    return next((kind for kind, parts in _KINDS.items() if any(p in name for p in parts)), None)


@contextmanager
def _named_ranges() -> Iterator[None]:
    """Have the profiler see the project's own functions as ranges of their kinds."""
    originals = {kind: getattr(owner, name) for kind, (owner, name) in _RANGES.items()}
    for kind, (owner, name) in _RANGES.items():
        setattr(owner, name, _in_range(kind, originals[kind]))
    try:
        yield
    finally:
        for kind, (owner, name) in _RANGES.items():
            setattr(owner, name, originals[kind])


def _in_range(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:  # noqa: ANN401
        with record_function(kind):
            return function(*arguments)

    return call
