"""A trained model as a file: its weights, its recipe and the statistics of its pixels."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from stages.core.dataset import Pixels, parse_pixels
from stages.core.errors import PipelineError
from stages.core.files import check_tensor, read_tensors, write_tensors
from stages.core.params import flatten
from stages.core.recipe import Recipe
from stages.model.network import network_for


def checkpoint_path(model: str) -> Path:
    """Return where the checkpoint of ``model`` (bn, gn or ln) is."""
    return Path("models", f"{model}.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A trained network on the CPU, in evaluation mode, with what it needs and its origin."""

    network: nn.Sequential
    pixels: Pixels  # of its training images; its inputs are standardized by them
    software: dict[str, str]  # the software that trained it


def write_checkpoint(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    recipe: Recipe,
    pixels: Pixels,
    software: Mapping[str, str],
) -> None:
    """Write the state dictionary ``weights`` of a network trained by ``recipe``."""
    metadata = {**recipe.describe(), "pixels": asdict(pixels), "software": software}
    write_tensors(path, weights, metadata)


def read_checkpoint(path: Path, recipe: Recipe) -> Checkpoint:
    """Read the checkpoint of a training by ``recipe``.

    Raises:
        PipelineError: the file is missing or damaged, or holds another model, other
            parameters or other tensors than ``recipe`` asks for.
    """
    remedy = f"run `dvc repro --force --single-item train-{recipe.model}`"
    tensors, metadata = read_tensors(path, remedy)
    software, pixels = metadata.pop("software", {}), metadata.pop("pixels", None)
    if not isinstance(software, dict) or not all(isinstance(x, str) for x in software.values()):
        raise PipelineError(f"{path} does not say what software trained it; {remedy}")
    wanted, found = flatten(recipe.describe()), flatten(metadata)
    for key in wanted | found:
        if wanted.get(key) != found.get(key):
            raise PipelineError(
                f"{path} was trained with {key} {found.get(key)}, not {wanted.get(key)}; {remedy}"
            )
    network = load_network(path, tensors, recipe, remedy)
    return Checkpoint(network, parse_pixels(path, pixels, remedy), software)


def load_network(
    path: Path, tensors: Mapping[str, torch.Tensor], recipe: Recipe, remedy: str
) -> nn.Sequential:
    """Return the network of ``recipe``, in evaluation mode, with the state ``tensors`` of ``path``.

    Raises:
        PipelineError: they are other tensors than ``recipe`` asks for, or hold no such numbers.
    """
    network = network_for(recipe)
    expected = network.state_dict()
    if set(tensors) != set(expected):
        raise PipelineError(f"{path} holds other tensors than a {recipe.model} network; {remedy}")
    for name, tensor in expected.items():
        read = check_tensor(path, tensors, name, tensor.dtype, tuple(tensor.shape), remedy)
        if not read.isfinite().all():
            raise PipelineError(f"{path}: {name!r} holds numbers that are not finite; {remedy}")
        if name.endswith("running_var") and (read < 0).any():
            raise PipelineError(f"{path}: {name!r} holds negative variances; {remedy}")
    network.load_state_dict(dict(tensors))
    return network.eval()
