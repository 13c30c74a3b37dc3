"""Train what a study of studies.yaml lacks: `python -m stages.studies NAME`.

Each result goes into the record, reports/studies/NAME.csv, as soon as it is there. So a study can
be interrupted at any time: started again, it trains what is missing. As many trainings run at once
as there are cores, here or on a Ray cluster. NAME.md, beside the record, sums it up for people.
"""

import signal
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec

import safetensors.torch

from stages.core.errors import ParamsError, PipelineError
from stages.core.files import write_text
from stages.core.machine import count_workers
from stages.core.params import Params, load_params
from stages.core.process import ArgumentParser, on_interrupt, run_as_command
from stages.core.progress import Progress
from stages.records.declaration import Study, read_studies
from stages.records.networks import add_networks, read_networks
from stages.records.plan import in_order, list_trainings
from stages.records.record import Row, key_of, merge, read_rows, write_rows
from stages.records.results import collect, did_diverge, done_rows
from stages.records.shifted import add_shifted, scored_keys
from stages.records.summary import summarize
from stages.studies import local
from stages.studies.job import Job, Trained, run_job
from stages.studies.local import Finished


def main(name: str | None, num_seeds: int | None, cluster: str | None) -> None:
    """Train what the study lacks, on the Ray cluster at the address ``cluster`` or else here.

    ``num_seeds``, if given, replaces its own number of seeds.

    Raises:
        ParamsError: there is no such study, or it is not declared correctly.
        PipelineError: its record is damaged, or trainings failed; that is raised once the others
            are done.
    """
    study, params = _choose(name, num_seeds), load_params()
    planned = list_trainings(study, params)
    rows = read_rows(study.record)
    done = done_rows(collect(study, params, rows))
    if study.shifts:
        scored = scored_keys(study, params.shifts)
        done = {key: row for key, row in done.items() if key in scored or did_diverge(row)}
    if study.networks:
        kept = read_networks(study)
        done = {key: row for key, row in done.items() if key in kept or did_diverge(row)}
    todo = [training for training in planned if training.key not in done]
    print(f"{study.record}: {len(todo)} of {len(planned)} trainings to do", flush=True)
    _write(study, params, rows)
    shifts = params.shifts if study.shifts else None
    jobs = [Job(i, x.recipe, study.scores_test, shifts) for i, x in enumerate(todo)]
    failures = []
    on_interrupt(signal.default_int_handler)  # as an exception, so that the workers are ended
    with (
        closing(_run(jobs, cluster)) as finished,
        closing(Progress("training", len(jobs))) as progress,
    ):
        for ended, running in finished:
            results = [(todo[job.number].row, result) for job, result in ended]
            _record(study, params, results)
            for row, result in results:
                if isinstance(result, PipelineError):
                    failures.append(f"{_name(row)} ({result})")
                progress.end(f"{_name(row)}, {running} running, {len(failures)} failed")
    if failures:
        raise PipelineError(
            f"{len(failures)} of {len(todo)} trainings failed: {', '.join(failures)}"
        )


def _choose(name: str | None, num_seeds: int | None) -> Study:
    studies = read_studies()
    if name not in studies:
        known = "; ".join(f"{study.name} ({study.question})" for study in studies.values())
        fault = "no study is named" if name is None else f"there is no study {name!r}"
        raise ParamsError(f"{fault}; studies.yaml declares {known}")
    study = studies[name]
    return study if num_seeds is None else study.model_copy(update={"seeds": num_seeds})


def _run(jobs: list[Job], cluster: str | None) -> Finished[Job, Trained]:
    if cluster is None or not jobs:
        widest = max((job.recipe.train for job in jobs), key=lambda x: x.threads, default=None)
        return local.run_jobs(run_job, jobs, count_workers(widest, len(jobs)) if widest else 1)
    if not find_spec("ray"):
        raise PipelineError("Ray is not installed; run `pip install -r requirements-ray.txt`")
    from stages.studies import ray_cluster

    return ray_cluster.run_jobs(jobs, cluster)


def _record(
    study: Study, params: Params, results: Sequence[tuple[Row, Trained | PipelineError]]
) -> None:
    new, networks = [], {}
    for row, trained in results:
        if isinstance(trained, Trained):
            new.append(row | trained.results)
            if trained.shifts:
                add_shifted(study, new[-1], trained.shifts)
            if trained.network:
                networks[key_of(new[-1])] = safetensors.torch.load(trained.network)
    if study.networks and networks:
        add_networks(study, networks)
    # Read again, since someone may have added rows of another machine meanwhile.
    _write(study, params, merge(read_rows(study.record), new))


def _write(study: Study, params: Params, rows: list[Row]) -> None:
    """Write the record, in the order of the variants, and its summary; nothing of no training."""
    if not rows:
        return
    write_rows(study.record, in_order(rows, study, params))
    write_text(study.record.with_suffix(".md"), summarize(collect(study, params, rows)))


def _name(row: Row) -> str:
    return " ".join(text if key == "model" else f"{key} {text}" for key, text in row.items())


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m stages.studies")
    parser.add_argument("name", nargs="?", help="a study of studies.yaml")
    parser.add_argument("--seeds", type=int, help="how many seeds, other than declared")
    parser.add_argument("--ray", help="the address of a Ray cluster to train on, or auto")
    arguments = parser.parse_args()
    if arguments.seeds is not None and arguments.seeds < 1:
        parser.error(f"--seeds is {arguments.seeds}; allowed: 1 or more")
    run_as_command("study", lambda: main(arguments.name, arguments.seeds, arguments.ray))
