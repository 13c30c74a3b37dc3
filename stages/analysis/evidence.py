"""The three models on clean test images, compared over the seeds that are on record."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

from stages.analysis.comparison import Comparison, Pair, compare_by_seeds
from stages.analysis.inputs import Inputs
from stages.core.params import MODELS
from stages.records.results import Results


@dataclass(frozen=True)
class Evidence:
    """The accuracies (fractions) of all models, and how they compare.

    One run of each settles nothing, and nothing is compared.
    """

    seeds: list[int]  # none: there is one run of each
    accuracies: dict[str, list[float]]  # on the test images, in the order of ``seeds``
    gaps: dict[str, list[float]]  # train minus test accuracy, likewise
    by_accuracy: list[Comparison]
    by_gap: list[Comparison]
    others: list[str]  # the models whose run on record has another accuracy than in this main job

    @property
    def accuracy(self) -> dict[str, float]:
        """The mean test accuracy of each model."""
        return {model: mean(values) for model, values in self.accuracies.items()}

    @property
    def gap(self) -> dict[str, float]:
        """The mean of train minus test accuracy of each model."""
        return {model: mean(values) for model, values in self.gaps.items()}


def find_main_study(studies: Mapping[str, Results | None]) -> Results | None:
    """Return the study that trains the models of the main job with several seeds."""
    found = (x for x in studies.values() if x is not None and x.repeats_main_job)
    return next(found, None)


def weigh(inputs: Inputs, seed: int, margin: float) -> Evidence:
    """Compare the models over the seeds on record.

    ``seed`` is that of the main job; ``margin`` the fraction within which two count as equal.
    """
    study = find_main_study(inputs.studies)
    test, train = (
        {m: study.cells[m][0].accuracy(f"{split}_accuracy") if study else {} for m in MODELS}
        for split in ("test", "train")
    )
    seeds = sorted(set.intersection(*(set(x) for of in (test, train) for x in of.values())))
    if len(seeds) < 2:
        accuracies = {m: [inputs.metrics[m].test_accuracy] for m in MODELS}
        gaps = {m: [inputs.metrics[m].accuracy_gap] for m in MODELS}
        return Evidence([], accuracies, gaps, by_accuracy=[], by_gap=[], others=[])
    of_test = {m: {one: test[m][one] for one in seeds} for m in MODELS}
    of_gap = {m: {one: train[m][one] - test[m][one] for one in seeds} for m in MODELS}
    by_accuracy, by_gap = (
        compare_by_seeds([Pair(a, b, of[a], of[b]) for a, b in combinations(MODELS, 2)], margin)
        for of in (of_test, of_gap)
    )
    of_run = {m: inputs.metrics[m].test_accuracy for m in MODELS}
    return Evidence(
        seeds=seeds,
        accuracies={m: list(of.values()) for m, of in of_test.items()},
        gaps={m: list(of.values()) for m, of in of_gap.items()},
        by_accuracy=by_accuracy,
        by_gap=by_gap,
        others=[m for m in MODELS if seed in seeds and abs(test[m][seed] - of_run[m]) > 1e-6],
    )
