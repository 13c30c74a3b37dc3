"""Where B's time goes, by kind of work.

Whole functions are timed by the clock, in an epoch without the profiler: it slows short
operations, of which the optimizer has many. Only the layers, whose operations are long, are told
apart by it, in an epoch of its own, and what the profiler adds to each operation is taken off: by
how much that epoch is longer, spread evenly over its operations. What neither accounts for is the
rest. Both epochs are the fastest of several, since what else the machine does only adds time.
"""

from collections import defaultdict
from contextlib import ExitStack
from typing import NamedTuple

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from stages.model.scoring import compute_logits
from stages.training import loop
from stages.training.loop import Training
from stages.training.weight_average import WeightAverage
from tests.benchmarks.own import Stopwatch, prepare
from tests.benchmarks.timing import time_call

_IMAGES = 6_000  # with 1,000 test images: the proportion of the whole job
_ROUNDS = 7
_EVALUATION = "evaluation"
_LAYERS = {  # parts of the names of operators and of their backward passes, without "_"
    "convolution": ("conv",),
    "normalization": ("batchnorm", "groupnorm"),
    "pooling and activation": ("pool", "relu", "threshold", "clampmin"),
}


class Profile(NamedTuple):
    """An epoch under the profiler."""

    seconds: float
    operations: int
    layers: dict[str, list[float]]  # by kind, the seconds of each of its operations


def break_down(model: str, threads: int) -> dict[str, float]:
    """Return the share of an epoch's time that each kind of work takes."""
    run = prepare(model, threads, _IMAGES, num_test_images=_IMAGES // 6)
    timed, profiled = [], []
    for _ in range(_ROUNDS):
        run.epochs.clear()  # the rounds take more epochs than there are
        run.run_epoch()  # slower than others, for it follows the profiler's work on the last round
        timed.append(_time_functions(run))
        profiled.append(_profile_layers(run))
    seconds, functions = min(timed, key=lambda epoch: epoch[0])
    layers = _without_the_profiler(min(profiled, key=lambda epoch: epoch.seconds), seconds)
    functions[f"{_EVALUATION} without its layers"] = (
        functions.pop(_EVALUATION) - layers[f"{_EVALUATION}'s layers"]
    )
    shares = {kind: spent / seconds for kind, spent in (layers | functions).items()}
    return shares | {"rest": 1 - sum(shares.values())}


def _time_functions(run: Training) -> tuple[float, dict[str, float]]:
    """Return the seconds of an epoch, and of the functions in it, by kind."""
    optimizer = type(run._optimizer)
    functions = {
        "augmentation": [(Training, "_augmented")],
        "optimizer": [(optimizer, x) for x in ("step", "update_bases") if hasattr(optimizer, x)],
        "average of the weights": [(WeightAverage, "update")],
        _EVALUATION: [(loop, "compute_logits")],
    }
    with ExitStack() as stack:
        watches = {
            kind: [stack.enter_context(Stopwatch(*function)) for function in of_kind]
            for kind, of_kind in functions.items()
        }
        seconds = time_call(run.run_epoch)
    return seconds, {kind: sum(w.seconds for w in of_kind) for kind, of_kind in watches.items()}


def _without_the_profiler(profiled: Profile, seconds: float) -> dict[str, float]:
    """Return the seconds of each kind of layer in an epoch that takes ``seconds`` unprofiled."""
    added = max(0.0, profiled.seconds - seconds) / profiled.operations
    return {kind: sum(spent) - added * len(spent) for kind, spent in profiled.layers.items()}


def _profile_layers(run: Training) -> Profile:
    """Profile an epoch; its layers by kind, evaluation's apart."""

    def compute(*arguments: object) -> object:
        with record_function(_EVALUATION):
            return compute_logits(*arguments)

    loop.compute_logits = compute
    try:
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            seconds = time_call(run.run_epoch)
    finally:
        loop.compute_logits = compute_logits
    events = profiler.events()
    layers: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if kind := _kind(event):
            layers[kind].append(event.self_cpu_time_total / 1e6)
    return Profile(seconds, len(events), layers)


def _kind(event: FunctionEvent) -> str | None:
    """Return the kind of the layer that ``event`` is part of, if it is of one."""
    kind, around = None, event
    while around is not None:
        if around.name == _EVALUATION:
            return kind and f"{_EVALUATION}'s layers"
        name = around.name.lower().replace("_", "")
        for of_layer, parts in _LAYERS.items():
            if any(part in name for part in parts):
                kind = of_layer
        around = around.cpu_parent
    return kind
