"""The networks of a study with ``networks``: the weights of its trainings, beside its record.

NAME.safetensors holds them under MODEL/SEED/RECIPE/WEIGHT, a few dozen KB a network. Whoever asks
something new of trained networks needs not train them again.
"""

from collections.abc import Mapping
from pathlib import Path

import torch

from stages.core.errors import PipelineError
from stages.core.files import read_tensors, write_tensors
from stages.records.declaration import Study
from stages.records.record import Key

Weights = dict[str, torch.Tensor]  # the state dictionary of a network


def networks_path(study: Study) -> Path:
    """Return where the networks are."""
    return study.record.with_suffix(".safetensors")


def read_networks(study: Study) -> dict[Key, Weights]:
    """Read the weights of each training that is kept; none if there is no file.

    Raises:
        PipelineError: the file is damaged, or holds something else.
    """
    path = networks_path(study)
    if not path.exists():
        return {}
    remedy = f"restore it with `git checkout {path}`"
    found: dict[Key, Weights] = {}
    for name, tensor in read_tensors(path, remedy)[0].items():
        try:
            model, seed, recipe, weight = name.split("/")
            found.setdefault((model, int(seed), recipe), {})[weight] = tensor
        except ValueError:
            raise PipelineError(
                f"{path} holds {name!r}, not MODEL/SEED/RECIPE/WEIGHT; {remedy}"
            ) from None
    return found


def add_networks(study: Study, new: Mapping[Key, Weights]) -> None:
    """Add the weights of trainings, in place of older ones of the same trainings."""
    kept = {**read_networks(study), **new}
    tensors = {
        f"{model}/{seed}/{recipe}/{name}": tensor
        for (model, seed, recipe), weights in sorted(kept.items(), key=lambda item: item[0])
        for name, tensor in weights.items()
    }
    write_tensors(networks_path(study), tensors, {"study": study.name})
