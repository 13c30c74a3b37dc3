"""What Ray costs a study: `python -m tests.benchmarks.cluster` writes reports/ray.md.

Takes a quarter of an hour and needs requirements-ray.txt. The cluster is one node on this machine,
with as many CPUs as it has cores, so that both ways run the same trainings on the same cores.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import ray
from jinja2 import Template
from ray.cluster_utils import Cluster

from stages.core.machine import count_cores, describe_processor
from stages.core.params import load_params
from stages.records.declaration import read_studies
from stages.records.plan import list_trainings
from stages.records.record import merge, read_rows, write_rows
from stages.records.results import collect
from stages.records.summary import summarize
from stages.studies import local, ray_cluster
from stages.studies.job import Job, run_job
from tests.benchmarks.timing import ROOT, time_call

STUDY = "minute"
EPOCHS = 2
TRAININGS = 24
ROUNDS = 2
TASKS = 10_000
CORES_OF_A_CLUSTER = 1_000


def main() -> None:
    """Measure, and write the page."""
    jobs, workers = _jobs(), count_cores()
    seconds: dict[str, list[float]] = {"here": [], "on Ray": []}
    with _cluster(workers) as address:
        for _ in range(ROUNDS):
            ways = {
                "here": lambda: local.run_jobs(run_job, jobs, workers),
                "on Ray": lambda: ray_cluster.run_jobs(jobs, address),
            }
            for way, start in ways.items():
                seconds[way].append(time_call(lambda start=start: _exhaust(start())))
                print(way, seconds[way][-1], flush=True)
        hand_out = _time_empty_tasks(address)
    template = Template(
        (Path(__file__).parent / "cluster.md.j2").read_text(), keep_trailing_newline=True
    )
    here, on_ray = (sum(of_way) / ROUNDS for of_way in seconds.values())
    text = template.render(
        processor=describe_processor(),
        cores=workers,
        versions=", ".join(f"{name} {version(name)}" for name in ("ray", "torch")),
        trainings=TRAININGS,
        epochs=jobs[0].recipe.train.epochs,
        rounds=ROUNDS,
        here=here,
        on_ray=on_ray,
        tasks=TASKS,
        hand_out=hand_out,
        update=_time_update(),
        cores_of_a_cluster=CORES_OF_A_CLUSTER,
        training=here * workers / TRAININGS,
    )
    (ROOT / "reports/ray.md").write_text(text)
    print(text)


def _jobs() -> list[Job]:
    study = read_studies()[STUDY]
    study = study.model_copy(update={"set": {**study.set, "train.epochs": EPOCHS}})
    seeds = -(-TRAININGS // len(study.models))
    trainings = list_trainings(study.model_copy(update={"seeds": seeds}), load_params())
    return [Job(i, x.recipe, study.scores_test) for i, x in enumerate(trainings[:TRAININGS])]


@contextmanager
def _cluster(cpus: int) -> Iterator[str]:
    """A cluster of one node; Ray would put the machine's outer address for 127.0.0.1."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    node = {"num_cpus": cpus, "include_dashboard": False, "node_ip_address": "127.0.0.2"}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def _exhaust(finished: Iterable[tuple[local.Ended, int]]) -> None:
    """Wait for all, and see that none failed."""
    results = [result for ended, _ in finished for _, result in ended]
    failed = [result for result in results if isinstance(result, Exception)]
    assert not failed, failed
    assert len(results) == TRAININGS


def _time_empty_tasks(address: str) -> float:
    """Return the seconds to hand out ``TASKS`` tasks of no work, as to a large cluster."""
    ray.init(address, log_to_driver=False, logging_level="ERROR")
    task = ray.remote(_do_nothing)

    def run() -> None:
        for _ in ray_cluster.hand_out(range(TASKS), task.remote, lambda: CORES_OF_A_CLUSTER):
            pass

    try:
        ray.get([task.remote(i) for i in range(100)])  # the workers have started
        return time_call(run)
    finally:
        ray.shutdown()


def _do_nothing(_: int) -> None:
    pass


def _time_update() -> float:
    """Return the seconds to put a training into a record of ``TASKS`` rows."""
    params, study = load_params(), read_studies()[STUDY]
    [result, *_] = read_rows(study.record)
    study = study.model_copy(update={"seeds": -(-TASKS // len(study.models))})
    rows = [result | x.row | {"recipe": x.recipe.digest} for x in list_trainings(study, params)]
    with TemporaryDirectory() as folder:
        record = Path(folder, "record.csv")
        write_rows(record, rows)
        start = time.perf_counter()
        rows = merge(read_rows(record), rows[:1])
        write_rows(record, rows)
        summarize(collect(study, params, rows))
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
