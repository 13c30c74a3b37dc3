"""A study's table summarized for people: mean and deviation of each variant."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from stages.core.params import MODELS

# The columns of a study's table that are no part of its plan: numbers, then the digest.
RESULTS = (
    *("test_loss", "test_accuracy", "validation_loss", "validation_accuracy"),
    *("train_accuracy", "recipe"),
)

Row = Mapping[str, str]


def summarize(rows: Sequence[Row]) -> str:
    """Return a table of the finished ``rows``: a line a variant, a column a model.

    The first row's parameters are the base, written below; a variant is named by what differs
    from them. Cells hold the mean accuracy on the images that each epoch was scored on, and,
    of several seeds, the standard deviation.
    """
    done = [row for row in rows if row.get("recipe")]
    if not done:
        return "No training is done yet.\n"
    keys = list(
        dict.fromkeys(k for row in done for k in row if k not in ("model", "seed", *RESULTS))
    )
    base = {key: done[0].get(key, "") for key in keys}
    split = "validation" if "validation_accuracy" in done[0] else "test"
    variants: dict[str, list[Row]] = {}
    for row in done:
        differing = {key: row.get(key, "") for key in keys if row.get(key, "") != base[key]}
        variants.setdefault(_name(differing) or ("base" if base else "params.yaml"), []).append(row)
    lines = [
        f"| variant | seeds | {' | '.join(MODELS)} | all |",
        "|---" * (len(MODELS) + 3) + "|",
        *(_line(variant, of_variant, split) for variant, of_variant in variants.items()),
        "",
        f"{split.capitalize()} accuracy in per cent, mean ± standard deviation over the seeds."
        + (f" Base: {_name(base)}." if base else ""),
    ]
    return "\n".join(lines) + "\n"


def _name(values: Row) -> str:
    return ", ".join(f"{k.split('.')[-1].replace('_', ' ')} {v}" for k, v in values.items())


def _line(variant: str, rows: list[Row], split: str) -> str:
    by_model = [
        [100 * float(row[f"{split}_accuracy"]) for row in rows if row["model"] == model]
        for model in MODELS
    ]
    seeds = " ".join(map(str, sorted({int(row["seed"]) for row in rows})))
    every = [accuracy for of_model in by_model for accuracy in of_model]
    overall = f"{mean(every):.3f}" if all(by_model) else ""
    return f"| {variant} | {seeds} | {' | '.join(map(_cell, by_model))} | {overall} |"


def _cell(accuracies: list[float]) -> str:
    if not accuracies:
        return ""
    deviation = f" ± {stdev(accuracies):.3f}" if len(accuracies) > 1 else ""
    return f"{mean(accuracies):.3f}{deviation}"
