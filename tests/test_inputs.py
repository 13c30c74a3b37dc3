"""A stage whose inputs changed while it ran: DVC must not record what it made."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.core.errors import PipelineError
from stages.core.inputs import unchanged_inputs
from tests.conftest import Project, wait_for


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Iterator[Project]:
    project = finished.clone(tmp_path / "project")
    with contextlib.chdir(project.folder):
        yield project


def test_parameters_edited_during_a_training(project: Project) -> None:
    """The lock keeps what was true, and the training is taken at once when the values return."""
    lock = (project.folder / "dvc.lock").read_text()
    project.set_param("label_smoothing", 0.1)
    training = project.start("dvc", "repro", "train-bn")
    wait_for(lambda: list((project.folder / ".resume").glob("bn-*.safetensors")))  # an epoch's end
    project.set_param("label_smoothing", 0.2)
    output = "".join(training.communicate(timeout=180))
    assert training.returncode
    assert "train-bn: train.label_smoothing was changed from 0.1 to 0.2 while this ran" in output
    assert "Traceback" not in output
    assert (project.folder / "dvc.lock").read_text() == lock
    project.set_param("label_smoothing", 0.1)
    assert "resumes after epoch 2" in project.run("dvc", "repro", "train-bn")
    assert "label_smoothing: 0.1" in (project.folder / "dvc.lock").read_text()
    assert "up to date" in project.run("dvc", "status", "train-bn")


def test_edited_code_is_named(project: Project) -> None:
    """Comments count, since DVC counts them."""
    with (
        pytest.raises(PipelineError, match=r"^stages/training/loop\.py was changed while this ran"),
        unchanged_inputs("train-bn"),
    ):
        project.set("epoch 0 draws the initial weights.", "it draws.", "stages/training/loop.py")


def test_what_another_model_trains_with_and_files_of_editors_may_change(project: Project) -> None:
    with unchanged_inputs("train-bn"):
        project.set_param("channels_per_group", 2)
        (project.folder / "stages/model/.network.py.swp").touch()
    with (
        pytest.raises(PipelineError, match=r"channels_per_group was changed from 2 to 4"),
        unchanged_inputs("train-gn"),
    ):
        project.set_param("channels_per_group", 4)
