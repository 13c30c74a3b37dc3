"""The results of a study as a table for people: mean and deviation of each variant."""

from statistics import mean, stdev

from stages.records.declaration import text_of
from stages.records.results import Cell, Results


def summarize(results: Results) -> str:
    """Return the study as a Markdown page of one table.

    It has a row for each variant with trainings done, and a column for each model.
    """
    study, models = results.study, list(results.cells)
    header = [study.varied if study.vary else "variant", "seeds", *models, "all"]
    lines = [header, ["---"] * len(header)]
    for i, place in enumerate(study.places):
        cells = [results.cells[model][i] for model in models]
        seeds = sorted({seed for cell in cells for seed in cell.rows})
        values = [x for cell in cells for x in cell.accuracy(results.column).values()]
        overall = f"{100 * mean(values):.3f}" if all(cell.rows for cell in cells) else ""
        if seeds:
            shown = [show(cell, results.column) for cell in cells]
            lines.append([place or "base", list_seeds(seeds), *shown, overall])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{study.question}\n\n{table}\n\n{' '.join(_notes(results))}\n"


def list_seeds(seeds: list[int]) -> str:
    """Return ``seeds``, sorted, in words: "0 to 9", or one by one if some are missing."""
    first, last = seeds[0], seeds[-1]
    if len(seeds) > 2 and len(seeds) == last - first + 1:
        return f"{first} to {last}"
    return ", ".join(map(str, seeds))


def show(cell: Cell, column: str) -> str:
    """Return the mean and the deviation of a cell in percent, and how many diverged."""
    finished = [100 * x for s, x in cell.accuracy(column).items() if s not in cell.diverged]
    parts = []
    if finished:
        deviation = f" ± {stdev(finished):.3f}" if len(finished) > 1 else ""
        parts.append(f"{mean(finished):.3f}{deviation}")
    if cell.diverged:
        parts.append(f"{len(cell.diverged)} of {len(cell.rows)} diverged")
    return ", ".join(parts)


def _notes(results: Results) -> list[str]:
    study = results.study
    notes = [
        f"{results.split.capitalize()} accuracy in percent, mean ± standard deviation over the "
        "seeds."
    ]
    if study.set:
        shown = ", ".join(f"{key} {text_of(value)}" for key, value in study.set.items())
        notes.append(f"Changed from params.yaml: {shown}.")
    if results.controls:
        notes.append(f"What varies leaves {' and '.join(results.controls)} unchanged.")
    notes += tell_of_record(results)
    return notes


def tell_of_record(results: Results) -> list[str]:
    """Say what a reader has to know of the record: what else varies, rows left out, machines."""
    notes = []
    if others := list(results.study.vary.items())[1:]:
        told = (f"{key}: {', '.join(map(text_of, values))}" for key, values in others)
        notes.append(f"What varies with it, in the same order: {'; '.join(told)}.")
    if results.left_out:
        notes.append(f"Rows of other recipes were left out: {results.left_out}.")
    if len(results.machines) > 1:
        notes.append(f"The trainings ran on {len(results.machines)} types of machine.")
    return notes
