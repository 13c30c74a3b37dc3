"""Where the report comes from: the hashes in dvc.lock, and the software that trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.core.errors import PipelineError
from stages.core.files import read_bytes
from stages.core.yaml12 import load_yaml


def read_pins(path: Path = Path("dvc.lock")) -> dict[str, str]:
    """Return the MD5 that DVC pins of data and checkpoints, by path; empty outside a pipeline.

    Raises:
        PipelineError: the file is there but is not a lock file of DVC's.
    """
    if not path.exists():
        return {}
    remedy = "run `dvc repro`"
    try:
        stages = load_yaml(read_bytes(path, remedy))["stages"]
        pins = {
            file["path"]: file["md5"]
            for name, stage in stages.items()
            if name == "prepare-data" or name.startswith("train-")
            for file in [*stage["deps"], *stage["outs"]]
            if not file["path"].startswith("stages/")
        }
        return dict(sorted(pins.items()))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise PipelineError(f"{path} is not a lock file of DVC's ({error!r}); {remedy}") from None


def join_software(software: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what trained the models; where they differ, in the order of the models."""
    names = dict.fromkeys(name for of_model in software for name in of_model)
    found = {name: [of_model.get(name, "?") for of_model in software] for name in names}
    return {name: ", ".join(dict.fromkeys(values)) for name, values in found.items()}
