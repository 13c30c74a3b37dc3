"""A stage whose inputs changed while it ran: DVC must not record what it made."""

import subprocess

import pytest

from tests.conftest import Project, new_project, wait_for


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose trainings take four epochs of 1,000 images; bn has been trained."""
    project = new_project(tmp_path_factory.mktemp("inputs"))
    project.make_small(epochs=4, images=1_000)
    project.run("dvc", "repro", "train-bn")
    return project


def _start(project: Project) -> subprocess.Popen[str]:
    """Train bn by DVC; return after its first epoch."""
    states = project.folder / ".resume"
    known = set(states.glob("bn-*.safetensors"))
    training = project.start("dvc", "repro", "train-bn")
    wait_for(lambda: set(states.glob("bn-*.safetensors")) - known)
    return training


def test_parameters_edited_during_a_training(project: Project) -> None:
    """The lock keeps what was true, and the training is taken at once when the values return."""
    lock = (project.folder / "dvc.lock").read_text()
    project.set_param("label_smoothing", 0.1)
    training = _start(project)
    project.set_param("label_smoothing", 0.2)
    output = "".join(training.communicate(timeout=180))
    assert training.returncode
    assert "train-bn: train.label_smoothing was changed from 0.1 to 0.2 while this ran" in output
    assert "Traceback" not in output
    assert (project.folder / "dvc.lock").read_text() == lock
    project.set_param("label_smoothing", 0.1)
    assert "resumes after epoch 4" in project.run("dvc", "repro", "train-bn")
    assert "label_smoothing: 0.1" in (project.folder / "dvc.lock").read_text()
    assert "up to date" in project.run("dvc", "status", "train-bn")


def test_code_edited_during_a_training(project: Project) -> None:
    """Comments count, since DVC counts them; an editor's own files do not."""
    project.set_param("label_smoothing", 0.3)
    training = _start(project)
    (project.folder / "stages/model/.network.py.swp").touch()
    project.set("epoch 0 draws the initial weights.", "it draws them.", "stages/training/loop.py")
    assert "stages/training/loop.py was changed while this ran, so" in "".join(
        training.communicate(timeout=180)
    )


def test_what_another_model_trains_with_may_be_edited(project: Project) -> None:
    project.set_param("label_smoothing", 0.4)
    training = _start(project)
    project.set_param("channels_per_group", 2)
    training.communicate(timeout=180)
    assert training.returncode == 0
