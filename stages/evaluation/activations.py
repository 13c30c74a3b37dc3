"""Activations inside a trained network, before and after normalization."""

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import nn

from stages.core.dataset import Pixels, Split, to_floats
from stages.core.errors import PipelineError
from stages.core.files import check_tensor, read_tensors, write_tensors
from stages.core.params import MODELS

BLOCKS = ("block2", "block5")  # an early and a late one
NUM_IMAGES = 500
NUM_BINS = 80
_RANGE = (-20.0, 400.0)  # wide: a normalization lets the weights before it grow without effect


@dataclass(frozen=True)
class Observed:
    """One normalization layer on ``NUM_IMAGES`` images.

    edges: [NUM_BINS + 1], of the histograms, evenly spaced in asinh, which is linear near 0 and
    logarithmic far from it; before, after: [NUM_BINS], shares of the activations, those beyond
    the edges in the outermost bins. batch_mean, batch_variance: [C], of these images before
    normalization; running_mean, running_variance: [C], what batch normalization uses instead when
    it evaluates, empty for the other layers.
    """

    edges: torch.Tensor
    before: torch.Tensor
    after: torch.Tensor
    batch_mean: torch.Tensor
    batch_variance: torch.Tensor
    running_mean: torch.Tensor
    running_variance: torch.Tensor


def activations_path(model: str) -> Path:
    """Return where the observations of ``model`` (bn, gn or ln) are."""
    return Path("reports/activations", f"{model}.safetensors")


@torch.inference_mode()
def observe(
    network: nn.Module, split: Split, pixels: Pixels, device: torch.device
) -> dict[str, Observed]:
    """Return what the normalization layer of each of ``BLOCKS`` does to images of ``split``."""
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    hooks = [
        network.get_submodule(f"{block}.norm").register_forward_hook(
            lambda layer, inputs, output, block=block: seen.update({block: (inputs[0], output)})
        )
        for block in BLOCKS
    ]
    images = split.images[:NUM_IMAGES].to(device)
    network.eval()(pixels.standardize(to_floats(images)))
    for hook in hooks:
        hook.remove()
    return {
        block: _summarize(network.get_submodule(f"{block}.norm"), *seen[block]) for block in BLOCKS
    }


def _summarize(layer: nn.Module, before: torch.Tensor, after: torch.Tensor) -> Observed:
    first, last = torch.tensor(_RANGE).asinh()
    edges = torch.linspace(float(first), float(last), NUM_BINS + 1).sinh()
    variance, mean = torch.var_mean(before.cpu().double(), dim=(0, 2, 3), correction=0)
    nothing = torch.empty(0)
    return Observed(
        edges=edges,
        before=_shares(before, edges),
        after=_shares(after, edges),
        batch_mean=mean.float(),
        batch_variance=variance.float(),
        running_mean=getattr(layer, "running_mean", nothing),
        running_variance=getattr(layer, "running_var", nothing),
    )


def _shares(values: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    inside = values.detach().cpu().float().clamp(float(edges[0]), float(edges[-1]))
    return torch.histogram(inside.flatten(), edges).hist / values.numel()


def write_activations(model: str, observed: dict[str, Observed]) -> None:
    """Write what ``observe`` returned of ``model`` (bn, gn or ln)."""
    tensors = {
        f"{block}.{name}": tensor
        for block, one in observed.items()
        for name, tensor in vars(one).items()
    }
    write_tensors(activations_path(model), tensors, {"model": model})


def read_activations(model: str) -> dict[str, Observed]:
    """Read what ``write_activations`` wrote of ``model`` (bn, gn or ln).

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    path, remedy = activations_path(model), "run `dvc repro evaluate`"
    tensors, metadata = read_tensors(path, remedy)
    if metadata.get("model") != model:
        raise PipelineError(f"{path} is of model {metadata.get('model')}, not {model}; {remedy}")
    observed = {}
    for block in BLOCKS:
        channels = tensors.get(f"{block}.batch_mean", torch.empty(0)).numel()
        running = channels if MODELS[model] == "batch" else 0
        lengths = (NUM_BINS + 1, NUM_BINS, NUM_BINS, channels, channels, running, running)
        observed[block] = Observed(
            *(
                check_tensor(path, tensors, f"{block}.{part.name}", torch.float32, (n,), remedy)
                for part, n in zip(fields(Observed), lengths, strict=True)
            )
        )
    return observed
