"""The table of several seeds a model, where it is there and of the present recipe."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from stages.core.errors import PipelineError
from stages.core.files import read_bytes
from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.reporting.findings import Results

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


def read_seeds(params: Params, path: Path = SEEDS_PATH) -> Seeds | None:
    """Read the seeds that every model was trained with by the recipe of ``params``.

    None where there are fewer than two such seeds.

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    remedy = f"restore it with `git checkout {path}`, or remove it and run `make seeds`"
    accuracies: dict[str, dict[int, tuple[float, float]]] = {model: {} for model in MODELS}
    try:
        for row in csv.DictReader(io.StringIO(read_bytes(path, remedy).decode())):
            if not row["recipe"]:
                continue  # planned, not trained yet
            accuracy = float(row["test_accuracy"]), float(row["train_accuracy"])
            if not all(0 <= share <= 1 for share in accuracy):
                raise ValueError(f"accuracies {accuracy}")
            if row["recipe"] == Recipe.of(row["model"], params).digest:
                accuracies[row["model"]][int(row["seed"])] = accuracy
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise PipelineError(f"{path} is no table of seeds ({error!r}); {remedy}") from None
    seeds = sorted(set.intersection(*(set(of_model) for of_model in accuracies.values())))
    if len(seeds) < 2:
        return None
    test, train = (
        {model: [accuracies[model][seed][i] for seed in seeds] for model in MODELS} for i in (0, 1)
    )
    return Seeds(seeds, test, train)


def describe_seeds(seeds: Seeds | None, params: Params, results: Results) -> str:
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
        if abs(seeds.test_accuracy[model][place] - results.metrics[model].test_accuracy) > 1e-6
    ]
    if not others:
        return ""
    return (
        f"In {SEEDS_PATH}, seed {params.train.seed} of {' and '.join(others)} is another than in "
        "this run: the table was made with other train.threads or train.device, or by another type "
        "of machine, other versions or other code. To make it anew, remove it and run `make seeds`."
    )
