"""The whole default main job, run again in a fresh copy, pins the same bytes."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, new_project


@pytest.mark.torture
def test_rerun(tmp_path: Path, figures: dict[str, str]) -> None:
    """Twice as long as `make repro`; test_pipeline.py does the same on less data."""
    locks = [(ROOT / "dvc.lock").read_text(), _run(tmp_path / "first")]
    if locks[0] != locks[1]:  # the committed one may be another type of machine's
        locks.append(_run(tmp_path / "second"))
    assert locks[-1] == locks[-2]
    figures["whole main job again from nothing"] = (
        "dvc.lock unchanged" if len(locks) == 2 else "dvc.lock the same twice on this machine"
    )


def _run(folder: Path) -> str:
    """Run all stages in a copy without any output; return its dvc.lock."""
    folder.mkdir()
    project, lock = new_project(folder), folder / "dvc.lock"
    for stage in yaml.safe_load(lock.read_text())["stages"].values():
        for output in stage["outs"]:
            path = folder / output["path"]
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    output = project.run("python", "-m", "stages")
    assert all(f"Running stage '{name}'" in output for name in ("evaluate", "report"))
    return lock.read_text()
