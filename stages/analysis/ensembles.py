"""The networks that read drawings: all that are kept of several seeds, and a typical one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from torch import nn

from stages.core.dataset import Pixels
from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.model.checkpoint import Checkpoint, load_network
from stages.records.networks import networks_path, read_networks
from stages.records.results import Cell, Results


@dataclass(frozen=True)
class Ensemble:
    """Networks of one model that differ in their seeds alone, on the CPU, in evaluation mode."""

    networks: dict[int, nn.Sequential]  # by seed
    typical: int  # the seed of the one that stands for all
    pixels: Pixels  # of the training images


def read_ensembles(
    params: Params, study: Results | None, checkpoints: Mapping[str, Checkpoint]
) -> dict[str, Ensemble]:
    """Read the networks that ``study`` keeps of the seeds that all models have, by model.

    Without any, each model has its checkpoint alone.

    Raises:
        PipelineError: the file of networks is damaged, or holds something else.
    """
    recipes = {model: Recipe.of(model, params) for model in MODELS}
    kept = read_networks(study.study) if study else {}
    of_models = [
        {seed for name, seed, digest in kept if (name, digest) == (model, recipe.digest)}
        for model, recipe in recipes.items()
    ]
    seeds = sorted(set.intersection(*of_models))
    if study is None or not seeds:
        own = params.train.seed
        return {m: Ensemble({own: one.network}, own, one.pixels) for m, one in checkpoints.items()}
    path = networks_path(study.study)
    remedy = f"restore it with `git checkout {path}`"
    ensembles = {}
    for model, recipe in recipes.items():
        weights = {seed: kept[model, seed, recipe.digest] for seed in seeds}
        networks = {s: load_network(path, x, recipe, remedy) for s, x in weights.items()}
        typical = find_typical(model, study.cells[model][0], seeds)
        ensembles[model] = Ensemble(networks, typical, checkpoints[model].pixels)
    return ensembles


def find_typical(model: str, cell: Cell, seeds: Sequence[int]) -> int:
    """Return the one of ``seeds`` whose accuracies lie nearest to the means of ``cell``.

    The distance is Euclidean, over all shifts. Without any on record it is the first seed.
    """
    by_case = [x for case, x in cell.shifted.items() if case.reading == model]
    means = [mean(accuracies.values()) for accuracies in by_case]

    def distance(seed: int) -> float:
        return math.dist(means, [accuracies.get(seed, math.inf) for accuracies in by_case])

    return min(seeds, key=distance)
