"""A stage's inputs, looked at when it begins and again when it ends.

DVC notes the inputs of a stage after it has run. Had somebody edited one of them meanwhile, or
switched the branch, DVC would note values with which nothing was made.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from stages.core.errors import PipelineError
from stages.core.params import PARAMS_PATH, flatten, load_params
from stages.core.yaml12 import load_yaml

_PIPELINE, _IGNORED = Path("dvc.yaml"), Path(".dvcignore")


@contextmanager
def unchanged_inputs(stage: str) -> Iterator[None]:
    """Refuse to end the block if an input that dvc.yaml names for ``stage`` has changed in it.

    Raises:
        PipelineError: it has; or params.yaml is not valid any more.
    """
    before = _read(stage)
    yield
    after = _read(stage)
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    if changed:
        name, others = changed[0], f" (and {len(changed) - 1} more)" * (len(changed) > 1)
        values = f" from {before.get(name)} to {after.get(name)}" * (not Path(name).exists())
        raise PipelineError(
            f"{name} was changed{values} while this ran{others}, so DVC does not record what was "
            "made; run `dvc repro` again, and it makes what belongs to the present values"
        )


def _read(stage: str) -> dict[str, Any]:
    """Return the values of the stage's parameters, and the digests of its files, by name."""
    params = load_params()
    if not _PIPELINE.exists():
        return {}
    declared = load_yaml(_PIPELINE.read_bytes())["stages"][stage]
    sections = [x for x in declared.get("params", []) if isinstance(x, str)]
    found = {
        key: value
        for key, value in flatten(params.model_dump()).items()
        if any(key.startswith(f"{section}.") for section in sections)
    }
    if len(sections) < len(declared.get("params", [])):
        found[str(PARAMS_PATH)] = hashlib.sha256(PARAMS_PATH.read_bytes()).hexdigest()
    ignored = GitIgnoreSpec.from_lines(
        _IGNORED.read_text().splitlines() if _IGNORED.exists() else []
    )
    for dependency in declared["deps"]:
        path = Path(dependency.replace("${data.name}", params.data.name))
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not ignored.match_file(file):
                found[str(file)] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found
