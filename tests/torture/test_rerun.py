"""The whole default main job, run again from nothing, pins the same bytes."""

from pathlib import Path

import pytest

from tests.conftest import ROOT, Project


def test_rerun(tmp_path: Path, at_full_length: bool, figures: dict[str, str]) -> None:
    if not at_full_length:
        pytest.skip("takes as long as `make repro`; test_pipeline.py does the same on less data")
    locks = [(ROOT / "dvc.lock").read_text(), _run(tmp_path / "first")]
    if locks[0] != locks[1]:  # the committed one may be another type of machine's
        locks.append(_run(tmp_path / "second"))
    assert locks[-1] == locks[-2]
    figures["whole main job again from nothing"] = (
        "dvc.lock unchanged" if len(locks) == 2 else "dvc.lock the same twice on this machine"
    )


def _run(folder: Path) -> str:
    folder.mkdir()
    project = Project(folder)
    (folder / "dvc.lock").unlink()
    project.run("python", "-m", "stages.repro")
    return (folder / "dvc.lock").read_text()
