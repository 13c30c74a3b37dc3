"""Studies on a real Ray cluster: three nodes on this machine, which die in the middle.

Skipped where Ray is not installed: `pip install -r requirements-ray.txt`.
"""

import csv
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from stages.core.errors import PipelineError
from stages.core.params import load_params
from stages.core.recipe import Recipe
from stages.studies.job import Job
from tests.conftest import Project, project_of_studies, wait_for

STUDIES = """
studies:
  rates:
    question: Which rate?
    models: [bn, ln]
    seeds: 3
    vary: {models.bn.learning_rate: [0.02, 10], models.bn.weight_decay: [0, 1]}
    set: {train.optimizer: sgd, train.batch_size: 8}  # 10 diverges
"""
STUDY = ("python", "-m", "stages.studies", "rates")
RECORD = "reports/studies/rates.csv"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return project_of_studies(tmp_path_factory.mktemp("study"), STUDIES)


class Nodes:
    """A cluster of three nodes, of one CPU each, that no other machine can reach."""

    def __init__(self) -> None:
        cluster_utils = pytest.importorskip(
            "ray.cluster_utils", reason="needs `pip install -r requirements-ray.txt`"
        )
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 10**8}
        self._cluster = cluster_utils.Cluster(
            initialize_head=True, head_node_args=node | {"node_ip_address": "127.0.0.2"}
        )
        del node["include_dashboard"]
        self._others = [
            self._cluster.add_node(**node, node_ip_address=f"127.0.0.{i}") for i in (3, 4)
        ]
        self.address: str = self._cluster.address

    def kill_one(self) -> None:
        self._cluster.remove_node(self._others.pop(), allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.close()


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def _wait_for_rows(project: Project, study: subprocess.Popen[str], count: int) -> None:
    wait_for(
        lambda: len(_rows(project.folder / RECORD)) >= count or study.poll() is not None,
        seconds=300,
    )
    assert study.poll() is None, study.communicate()


def test_a_driver_and_a_node_that_are_killed_cost_no_row(
    project: Project, nodes: Nodes, tmp_path: Path
) -> None:
    """Nor a byte: the record is that of the local runner, with its trainings that diverge."""
    alone = project.copy(tmp_path / "alone")
    study = project.start(*STUDY, "--ray", nodes.address)
    _wait_for_rows(project, study, 1)
    study.kill()
    study.communicate()
    done = _rows(project.folder / RECORD)
    assert 0 < len(done) < 9

    study = project.start(*STUDY, "--ray", nodes.address)
    _wait_for_rows(project, study, len(done) + 1)
    nodes.kill_one()
    printed, error = study.communicate(timeout=600)
    assert (study.returncode, error) == (0, "")
    left = 9 - len(done)
    assert printed.splitlines()[0] == f"{RECORD}: {left} of 9 trainings to do"
    # Among them Ray says which node died.
    ends = [line for line in printed.splitlines() if f"/{left}: " in line]
    assert len(ends) == left
    assert "0 running, 0 failed, 0:00:00 left" in ends[-1]

    alone.run(*STUDY)
    record = (alone.folder / RECORD).read_bytes()
    assert record.count(b"diverged at epoch 1") == 3
    assert (project.folder / RECORD).read_bytes() == record


def test_a_node_with_other_versions_is_refused(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.studies import ray_cluster

    monkeypatch.setattr(ray_cluster, "_versions", lambda: "torch 1.0.0, numpy 1.0.0")
    job = Job(0, Recipe.of("ln", load_params()), with_test=False)
    with pytest.raises(PipelineError, match=r"^a node of the cluster has torch 2.*this machine"):
        list(ray_cluster.run_jobs([job], nodes.address))


def test_no_cluster_gets_one_line(project: Project) -> None:
    pytest.importorskip("ray", reason="needs `pip install -r requirements-ray.txt`")
    error = project.run(*STUDY, "--seeds", "9", "--ray", "127.0.0.1:1", status=1)
    assert len(error.splitlines()) == 2
    assert error.splitlines()[1].startswith("study: no Ray cluster at '127.0.0.1:1'")


class _Page(BaseHTTPRequestHandler):
    """A page as a dashboard has it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("form", ["{}", "http://{}", " {}/ ", "ray://{}"])
def test_the_address_of_a_dashboard_gets_one_line(form: str) -> None:
    """Ray alone would wait for minutes, or for ever."""
    pytest.importorskip("ray", reason="needs `pip install -r requirements-ray.txt`")
    from stages.studies import ray_cluster

    job = Job(0, Recipe.of("ln", load_params()), with_test=False)
    with HTTPServer(("127.0.0.2", 0), _Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = form.format(f"127.0.0.2:{server.server_port}")
        with pytest.raises(PipelineError, match="a web server, such as Ray's dashboard, is there"):
            list(ray_cluster.run_jobs([job], address))
        server.shutdown()


def test_without_ray_one_line_says_how_to_install_it(project: Project) -> None:
    if "ray" in project.run("pip", "list"):
        pytest.skip("Ray is installed")
    error = project.run(*STUDY, "--ray", "auto", status=1)
    assert error.splitlines()[1] == (
        "study: Ray is not installed; run `pip install -r requirements-ray.txt`"
    )
