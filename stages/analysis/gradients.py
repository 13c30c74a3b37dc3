"""How gradients grow with depth before any training: by which factor, from layer to layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import linear_regression, mean

from stages.analysis.inference import Interval, mean_interval
from stages.records.gradients import Norm

THEORY = 1.21  # bn before the ReLU, large batches (Yang et al. 2019, theorem 3.9)


@dataclass(frozen=True)
class Growth:
    """The gradients of one model, with its normalization after or before the ReLU."""

    model: str
    placement: str
    norms: list[list[float]]  # by seed and block, relative to that of the last block
    factor: float  # a layer, from the last to the first: the mean over the seeds
    interval: Interval | None  # of the factor


def find_growth(norms: Sequence[Norm]) -> list[Growth]:
    """Fit a constant factor a layer to the norms of each network, model by model.

    A network with a single block on record says nothing of it.
    """
    networks: dict[tuple[str, str], dict[int, list[Norm]]] = {}
    for x in sorted(norms, key=lambda x: x.block):
        networks.setdefault((x.model, x.placement), {}).setdefault(x.seed, []).append(x)
    found = []
    for (model, placement), by_seed in networks.items():
        lines = [of_seed for of_seed in by_seed.values() if len(of_seed) > 1]
        slopes = [
            -linear_regression([x.block for x in line], [log(x.norm) for x in line]).slope
            for line in lines
        ]
        if not slopes:
            continue
        interval = mean_interval(slopes, 1) if len(slopes) > 1 else None
        found.append(
            Growth(
                model,
                placement,
                [[x.norm / line[-1].norm for x in line] for line in lines],
                exp(mean(slopes)),
                interval and Interval(exp(interval.low), exp(interval.high)),
            )
        )
    return found
