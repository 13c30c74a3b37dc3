"""Made-up studies: what is declared, and rows as if it had been trained."""

import math
import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.evaluation.shifts import SeededRow, Shift, list_sets
from stages.records import causes
from stages.records.causes import Case, Distance, list_compared
from stages.records.declaration import Study
from stages.records.plan import Planned, list_trainings
from stages.records.record import Row
from stages.records.results import Results, collect

LAYERS = list(range(1, 7))
BEST = 0.5  # of the numbers of images that fixed statistics may count as
DIVERGED = {"outcome": "diverged at epoch 1, step 2"}


def declare(**keys: object) -> Study:
    keys = {"name": "x", "question": "?", "models": ["bn", "gn", "ln"], "seeds": 3} | keys
    return Study.model_validate(keys)


def record(study: Study, params: Params, result: Callable[[Planned], Row]) -> list[Row]:
    """Return a row for each training to which ``result`` gives one."""
    return [
        training.row | {"recipe": training.recipe.digest} | row
        for training in list_trainings(study, params)
        if (row := result(training))
    ]


def collect_made_up(
    params: Params,
    result: Callable[[Planned], Row],
    shifted: Sequence[SeededRow] = (),
    **keys: object,
) -> Results:
    study = declare(**keys)
    return collect(study, params, record(study, params, result), shifted)


def score(training: Planned) -> Row:
    """98 % less a hundredth a seed; bn with L1 diverges, and reads 1 point more by its batches."""
    if training.arm.model == "bn" and training.recipe.own.l1:
        return DIVERGED
    accuracy = 0.98 - training.seed / 1e4
    more = {"recomputed_accuracy": f"{accuracy:.4f}", "batch_accuracy": f"{accuracy + 0.01:.4f}"}
    more = more if training.arm.model == "bn" else {}
    return {"test_accuracy": f"{accuracy:.4f}", "train_accuracy": "0.99"} | more


def accuracy_of(case: Case, seed: int) -> float:
    """Made up: shifts cost bn 60 points, of which each fresh moment of a layer brings 5 back."""
    draws = np.random.default_rng([seed, zlib.crc32(repr(case).encode())])
    fresh = len(case.means.split()) + len(case.variances.split())
    if case.split == "train":
        lost = 0.01 * abs(math.log2(case.prior / BEST))
    elif case.model == "bn":
        few = 0.4 / case.images if case.prior else 0
        lost = (case.shift != "none") * (0.6 - 0.05 * fresh + few) - 0.02 * bool(case.change)
    else:
        lost = 0.03 * (12 - fresh) - 0.1 * bool(case.change)
    return round(min(0.9 - lost - 0.01 * seed + 0.002 * draws.normal(), 1), 6)


def row_of(case: Case, seed: int, params: Params) -> causes.Row:
    recipe = Recipe.of(case.model, params).digest
    return causes.Row(
        **vars(case),
        seed=seed,
        recipe=recipe,
        accuracy=accuracy_of(case, seed),
        answer=1,
        answered=1,
    )


def distances_of(params: Params, seed: int, loss: Callable[[Shift], float]) -> Iterator[Distance]:
    """Yield distances that grow with the accuracy lost before layer 1, and shrink before others."""
    for model in MODELS:
        recipe = Recipe.of(model, params).digest
        for case in list_compared(model, 6, list_sets(params.shifts)):
            shift = case.shift, case.severity
            for layer in LAYERS:
                of_mean = abs(loss(shift) - (layer > 1))
                yield Distance(model, seed, recipe, *shift, case.means, layer, of_mean, 0.0)
