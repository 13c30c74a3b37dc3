"""The study of several seeds per model, if it is there and of the present recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.evaluation.metrics import Metrics
from stages.records.declaration import RECORDS
from stages.records.record import read_rows
from stages.records.results import Cell

SEEDS_PATH = RECORDS / "seeds.csv"


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


def read_seeds(params: Params, path: Path = SEEDS_PATH) -> Seeds | None:
    """Read the seeds that every model was trained with by the recipe of ``params``.

    None where there are fewer than two such seeds. A training that diverged counts as guesses.

    Raises:
        PipelineError: the file is damaged, or holds something else.
    """
    rows = read_rows(path)
    found: dict[str, Cell] = {}
    for model in MODELS:
        digest = Recipe.of(model, params).digest
        of_model = [row for row in rows if (row["model"], row["recipe"]) == (model, digest)]
        found[model] = Cell({int(row["seed"]): row for row in of_model})
    accuracies = [
        {model: cell.accuracy(f"{split}_accuracy") for model, cell in found.items()}
        for split in ("test", "train")
    ]
    by_seed = [values for of_split in accuracies for values in of_split.values()]
    seeds = sorted(set.intersection(*map(set, by_seed)))
    if len(seeds) < 2:
        return None
    of_test, of_train = (
        {model: [values[seed] for seed in seeds] for model, values in of_split.items()}
        for of_split in accuracies
    )
    return Seeds(seeds, of_test, of_train)


def describe_seeds(seeds: Seeds | None, params: Params, metrics: Mapping[str, Metrics]) -> str:
    """Say what is wrong with the seeds beside the run that the report is about, "" if nothing."""
    if seeds is None:
        return (
            f"{SEEDS_PATH} does not hold two seeds of every model with these parameters: this is "
            "one run of each. `make seeds` trains five."
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
        f"In {SEEDS_PATH}, seed {params.train.seed} of {' and '.join(others)} differs from this "
        "run: the table was made with another train.threads or train.device, or on another type of "
        "machine, or by other versions or code. To make it again, remove it and run `make seeds`."
    )
