"""The table of several seeds per model, if it is there and of the present recipe."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Literal

from pydantic import TypeAdapter

from stages.core.errors import PipelineError
from stages.core.files import read_bytes
from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.evaluation.checking import Fraction, check
from stages.evaluation.metrics import Metrics

SEEDS_PATH = Path("reports/seeds.csv")


@dataclass(frozen=True)
class Seeds:
    """Accuracies (fractions, clean images, final weights) by model, in the order of ``seeds``."""

    seeds: list[int]
    test_accuracy: dict[str, list[float]]
    train_accuracy: dict[str, list[float]]

    @property
    def accuracy_gap(self) -> dict[str, list[float]]:
        """Train minus test accuracy."""
        return {
            model: [
                train - test
                for train, test in zip(
                    self.train_accuracy[model], self.test_accuracy[model], strict=True
                )
            ]
            for model in self.test_accuracy
        }

    @property
    def mean_accuracy(self) -> dict[str, float]:
        """The mean test accuracy."""
        return {model: mean(values) for model, values in self.test_accuracy.items()}

    @property
    def mean_gap(self) -> dict[str, float]:
        """The mean of train minus test accuracy."""
        return {model: mean(values) for model, values in self.accuracy_gap.items()}

    @property
    def deviation(self) -> dict[str, float]:
        """The standard deviation of the test accuracy."""
        return {model: stdev(values) for model, values in self.test_accuracy.items()}


@dataclass(frozen=True)
class _Trained:
    """A row of the table whose training is done; of its columns, those that count here."""

    model: Literal["bn", "gn", "ln"]
    seed: int
    test_accuracy: Fraction
    train_accuracy: Fraction
    recipe: str


def read_seeds(params: Params, path: Path = SEEDS_PATH) -> Seeds | None:
    """Read the seeds that every model was trained with by the recipe of ``params``.

    None where there are fewer than two such seeds.

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    remedy = f"restore it with `git checkout {path}`, or remove it and run `make seeds`"
    try:
        lines = list(csv.DictReader(io.StringIO(read_bytes(path, remedy).decode())))
    except (ValueError, csv.Error) as error:
        raise PipelineError(f"{path} is not a table of seeds ({error}); {remedy}") from None
    done = [line for line in lines if line.get("recipe") != ""]  # the others are only planned
    rows = check(TypeAdapter(list[_Trained]), done, path, "a table of seeds", remedy)
    found: dict[str, dict[int, _Trained]] = {model: {} for model in MODELS}
    for row in rows:
        if row.recipe == Recipe.of(row.model, params).digest:
            found[row.model][row.seed] = row
    seeds = sorted(set.intersection(*(set(of_model) for of_model in found.values())))
    if len(seeds) < 2:
        return None
    return Seeds(
        seeds,
        {model: [found[model][seed].test_accuracy for seed in seeds] for model in MODELS},
        {model: [found[model][seed].train_accuracy for seed in seeds] for model in MODELS},
    )


def describe_seeds(seeds: Seeds | None, params: Params, metrics: Mapping[str, Metrics]) -> str:
    """Say what is amiss with the seeds beside the run that the report is about, "" if nothing."""
    if seeds is None:
        return (
            f"{SEEDS_PATH} has no two seeds of these parameters for every model: this is one run "
            "of each. `make seeds` trains five."
        )
    if params.train.seed not in seeds.seeds:
        return ""
    place = seeds.seeds.index(params.train.seed)
    others = [
        model
        for model in MODELS
        if abs(seeds.test_accuracy[model][place] - metrics[model].test_accuracy) > 1e-6
    ]
    if not others:
        return ""
    return (
        f"In {SEEDS_PATH}, seed {params.train.seed} of {' and '.join(others)} is another than in "
        "this run: the table was made with other train.threads or train.device, or by another type "
        "of machine, other versions or other code. To make it anew, remove it and run `make seeds`."
    )
