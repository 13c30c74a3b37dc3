"""Where results come from: the contents that dvc.lock pins, and the software that made them."""

import platform
import re
from importlib.metadata import version
from pathlib import Path

import torch

from stages.errors import PipelineError
from stages.files import read_bytes
from stages.yaml12 import load_yaml


def describe_training(device: torch.device) -> dict[str, str]:
    """Return what of machine and software decides the bits of a training on ``device``."""
    return {
        "device": device.type,
        "processor": describe_processor(),
        "CPU instructions": torch.backends.cpu.get_cpu_capability(),
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **_versions("torch", "numpy", "safetensors"),
    }


def describe_processor() -> str:
    """Return the processor's name, with its family and model, which those of one name differ in.

    They decide its caches and units, by which oneDNN and MKL choose the order of their sums.
    """
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor()
    first = cpuinfo.read_text().partition("\n\n")[0]
    facts = dict(re.findall(r"^(.+?)\s*: (.+)$", first, re.MULTILINE))
    numbers = [f"{key} {facts[key]}" for key in ("cpu family", "model") if key in facts]
    return ", ".join([facts.get("model name", platform.processor()), *numbers])


def describe_report() -> dict[str, str]:
    """Return the versions of the packages that decide the bits of the report."""
    return _versions("matplotlib", "scipy", "statsmodels", "jinja2", "dvc")


def _versions(*packages: str) -> dict[str, str]:
    return {package: version(package) for package in packages}


def read_pins(path: Path = Path("dvc.lock")) -> dict[str, str]:
    """Return the MD5 that DVC pins of data and checkpoints, by path; empty outside a pipeline.

    Raises:
        PipelineError: the file is there but is no lock file of DVC's.
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
        raise PipelineError(f"{path} is no lock file of DVC's ({error!r}); {remedy}") from None
