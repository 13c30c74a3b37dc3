"""dvc.yaml against the code: what a stage declares is what its modules import."""

import ast
import shutil
from pathlib import Path

import pytest
import yaml

from stages.core.params import MODELS, Params
from stages.reporting.provenance import read_pins
from tests.conftest import ROOT, Project

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
SCRIPTS = {
    "prepare-data": "prepare_data",
    **{f"train-{model}": "train" for model in MODELS},
    "evaluate": "evaluate",
    "report": "report",
}


def _file(module: str) -> Path | None:
    """Return the file of a module of the project, if it is one."""
    path = ROOT / module.replace(".", "/")
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if module.startswith("stages") and candidate.exists():
            return candidate
    return None


def _imports(module: str) -> set[str]:
    """Return the project's modules that ``module`` names in its import statements."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(_file(module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if _file(name)}


def _all_imports(module: str) -> set[str]:
    """Return ``module``, its packages, and all that they import, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [*_imports(name), *([name.rpartition(".")[0]] if "." in name else [])]
    return found


def _declared_files(stage: str) -> set[Path]:
    files: set[Path] = set()
    for dependency in PIPELINE["stages"][stage]["deps"]:
        path = ROOT / dependency
        if dependency.startswith("stages/"):
            files |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return files


@pytest.mark.parametrize(("stage", "script"), SCRIPTS.items())
def test_deps_hold_what_is_imported(stage: str, script: str) -> None:
    """And nothing else where running again costs minutes."""
    imported = {_file(module) for module in _all_imports(f"stages.{script}")}
    assert _declared_files(stage) >= imported
    if stage not in ("prepare-data", "report"):
        assert _declared_files(stage) == imported
    if stage.startswith("train"):  # neither of a report
        assert PIPELINE["stages"][stage]["deps"] == PIPELINE["stages"]["train-bn"]["deps"]
        assert not any("report" in dep for dep in PIPELINE["stages"][stage]["deps"])


def test_it_is_as_dvc_writes_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    project.run("dvc", "init", "--quiet", "--no-scm")
    parametrized = {name for name, stage in PIPELINE["stages"].items() if "${" in str(stage)}
    others = set(PIPELINE["stages"]) - parametrized  # DVC does not write those
    project.run("dvc", "freeze", *others)
    project.run("dvc", "unfreeze", *others)
    assert (tmp_path / "dvc.yaml").read_text() == (ROOT / "dvc.yaml").read_text()


def test_the_report_depends_on_what_it_names_the_contents_of() -> None:
    pins = read_pins(ROOT / "dvc.lock")
    assert {"data/raw/mnist", "models/bn.safetensors"} <= set(pins)
    declared = PIPELINE["stages"]["report"]["deps"]
    deps = [path.replace("${data.name}", "mnist") for path in declared]
    assert [path for path in pins if path not in deps and str(Path(path).parent) not in deps] == []


def test_any_edit_of_the_params_is_seen_by_a_stage(params: Params) -> None:
    """Sections are tracked as wholes, so an unknown key in one is noticed too."""
    assert PIPELINE["stages"]["report"]["params"] == [{"params.yaml": None}]
    stages = PIPELINE["stages"].values()
    tracked = {key for stage in stages for key in stage["params"] if isinstance(key, str)}
    sections = set(params.model_dump())
    assert sections - tracked == {"report"}  # which the stage of that name has, with all others


def test_what_is_for_people_is_kept_in_git_and_in_the_run_cache() -> None:
    """As metrics or plots: a plain output that is not cached would switch the run-cache off.

    So it does for the prepared data and for the two pages, whose stages take seconds.
    """
    for name, stage in PIPELINE["stages"].items():
        if name not in ("prepare-data", "report"):
            assert all(isinstance(output, str) for output in stage.get("outs", []))
        for output in stage.get("metrics", []) + stage.get("plots", []):
            assert [one["cache"] for one in output.values()] == [False], name
