"""A trained model as a file: its weights, and the parameters that it was trained with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stages.core.errors import PipelineError
from stages.core.files import check_tensor, read_tensors, write_tensors
from stages.core.params import MODELS, Params, flatten
from stages.model.network import build_network


def checkpoint_path(model: str) -> Path:
    """Return where the checkpoint of ``model`` (bn, gn or ln) is."""
    return Path("models", f"{model}.safetensors")


def network_for(model: str, params: Params) -> nn.Sequential:
    """Build the network of ``model`` (bn, gn or ln) with fresh weights."""
    channels_per_group = getattr(params.models[model], "channels_per_group", None)
    return build_network(MODELS[model], channels_per_group, params.train.dropout)


def describe(model: str, params: Params) -> dict[str, Any]:
    """Return what a checkpoint of ``model`` says of itself: all parameters of its training."""
    return {
        "model": model,
        "normalization": MODELS[model],
        "train": params.train.model_dump(),
        f"models.{model}": params.models[model].model_dump(),
    }


@dataclass(frozen=True)
class Checkpoint:
    """A trained network, evaluating, on the CPU, and the software that trained it."""

    network: nn.Sequential
    software: dict[str, str]


def write_checkpoint(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    model: str,
    params: Params,
    software: Mapping[str, str],
) -> None:
    """Write the state dictionary ``weights`` of ``model``, trained with ``params``."""
    write_tensors(path, weights, {**describe(model, params), "software": software})


def read_checkpoint(path: Path, model: str, params: Params) -> Checkpoint:
    """Read the checkpoint of ``model``.

    Raises:
        PipelineError: the file is missing or damaged, or holds another model, other
            parameters or other tensors than ``params`` ask for.
    """
    remedy = f"run `dvc repro train-{model}`"
    tensors, metadata = read_tensors(path, remedy)
    software = metadata.pop("software", {})
    wanted, found = flatten(describe(model, params)), flatten(metadata)
    for key in wanted | found:
        if wanted.get(key) != found.get(key):
            raise PipelineError(
                f"{path} was trained with {key} {found.get(key)}, not {wanted.get(key)}; {remedy}"
            )
    network = network_for(model, params)
    expected = network.state_dict()
    if set(tensors) != set(expected):
        raise PipelineError(f"{path} holds other tensors than a {model} network; {remedy}")
    for name, tensor in expected.items():
        read = check_tensor(path, tensors, name, tensor.dtype, tuple(tensor.shape), remedy)
        if not read.isfinite().all():
            raise PipelineError(f"{path}: {name!r} holds numbers that are not finite; {remedy}")
        if name.endswith("running_var") and (read < 0).any():
            raise PipelineError(f"{path}: {name!r} holds negative variances; {remedy}")
    network.load_state_dict(tensors)
    return Checkpoint(network.eval(), software)
