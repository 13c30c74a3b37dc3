"""Many trainings for one table, which is both the plan and the record of a study: see table.py.

Rows without results, or with those of another recipe, are trained, as many at once as there are
cores. Beside the table stands its summary for people, of the same name with the ending .md.

    python -m stages.studies reports/seeds.csv --seeds 5    # the rows of five seeds a model
    python -m stages.studies reports/fast.csv               # the rows that the file has
"""

import signal
from contextlib import closing
from pathlib import Path

from stages.core.errors import PipelineError
from stages.core.machine import count_workers
from stages.core.params import load_params
from stages.core.process import ArgumentParser, on_interrupt, run_as_command
from stages.studies.job import Job
from stages.studies.local import run_jobs
from stages.studies.summary import RESULTS
from stages.studies.table import (
    Row,
    check_one_split,
    is_done,
    read_rows,
    recipe_of,
    with_seeds,
    write_rows,
)


def main(path: Path, num_seeds: int) -> None:
    """Train what ``path`` plans and has no results of; write each result as it comes.

    Raises:
        PipelineError: the table is missing or is none, or trainings failed; the others are done
            before that is said.
    """
    if path.suffix != ".csv":  # .md would be overwritten by the table's own summary
        raise PipelineError(f"the table {path} is not a .csv file; name it so")
    params = load_params()
    rows = read_rows(path) if path.exists() or not num_seeds else []
    rows = with_seeds(rows, num_seeds)
    check_one_split(rows, params)
    with_test = num_seeds > 0
    todo = [i for i, row in enumerate(rows) if not is_done(row, params, with_test)]
    for i in todo:  # the summary is of one recipe
        rows[i] = {key: text for key, text in rows[i].items() if key not in RESULTS}
    print(f"{path}: {len(todo)} of {len(rows)} trainings to do", flush=True)
    jobs = [Job(i, recipe_of(rows[i], params), with_test) for i in todo]
    failures = []
    on_interrupt(signal.default_int_handler)  # an exception, for the workers are to be ended
    with closing(run_jobs(jobs, count_workers(params.train, len(jobs)))) as finished:
        for job, result in finished:
            row = rows[job.number]
            if isinstance(result, PipelineError):
                failures.append(f"{_name(row)} ({result})")
                continue
            row |= result | {"recipe": job.recipe.digest}
            write_rows(path, rows)
            print(row, flush=True)
    if rows:
        write_rows(path, rows)
    if failures:
        raise PipelineError(
            f"{len(failures)} of {len(todo)} trainings failed: {', '.join(failures)}"
        )


def _name(row: Row) -> str:
    return " ".join(text if key == "model" else f"{key} {text}" for key, text in row.items())


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m stages.studies")
    parser.add_argument("table", type=Path, help="the CSV file, both plan and record")
    parser.add_argument("--seeds", type=int, default=0, help="plan seeds 0 to N-1 of each model")
    arguments = parser.parse_args()
    if arguments.seeds < 0:
        parser.error(f"--seeds is {arguments.seeds}; allowed: 0 or more")
    run_as_command("study", lambda: main(arguments.table, arguments.seeds))
