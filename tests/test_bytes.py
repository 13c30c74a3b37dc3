"""The same bytes on every CPU: short trainings, traced operation by operation.

tests/bytes.json holds the digests. Where one differs, either the code of training computes
something else, or this CPU does. In the first case raise TRAINING_VERSION (core/recipe.py), unless
results do not change; renew the digests by `python -m tests.test_bytes`, and say in the commit why.
"""

import stages  # noqa: F401  (before torch)

# isort: split
import hashlib
import json

import pytest
import torch
from torch import nn

from stages.core.dataset import Dataset, Split
from stages.core.machine import describe_kernels, describe_processor, set_up_machine
from stages.core.params import Params
from stages.core.recipe import Recipe
from stages.preparation import sources
from stages.preparation.splitting import measure_pixels
from stages.training.loop import Training
from tests.conftest import PARAMS, ROOT, change

DIGESTS = ROOT / "tests/bytes.json"
# Four epochs of three steps, the last of which takes 32 images instead of 64.
SHORT = {"train__epochs": 4, "train__augmentation__fade": 0.5}
TRAININGS: dict[str, tuple[str, dict[str, object]]] = {
    **{model: (model, {}) for model in ("bn", "gn", "ln", "instance", "channels", "none")},
    "bn of 4 images": ("bn", {"models__bn__normalization_batch": 4}),
    "bn after ln": ("bn", {"models__bn__layer_norm_first": 2}),
    "ln before the ReLU": ("ln", {"network__placement": "before"}),
    "none, deep": ("none", {"network__extra_blocks": 4, "network__initialization": "he"}),
    "bn, deep with skips": ("bn", {"network__extra_blocks": 4, "network__skip": True}),
    "gn by SGD": ("gn", {"train__optimizer": "sgd", "train__annealing": "linear"}),
    "ln, sorted, dropout, l1": (
        "ln",
        {"train__sort_batches": True, "network__dropout": 0.1, "models__ln__l1": 1e-4},
    ),
}


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()[:8]


def _trace(name: str) -> dict[str, str]:
    """Return digests of a training: the first step's operations in order, then each step's weights.

    At the end those of the result, and of the logits by which the last epoch was scored.
    """
    model, changes = TRAININGS[name]
    params = change(Params.model_validate(PARAMS), **SHORT, **changes)
    device = set_up_machine(params.train)
    images, labels = sources.read_images(ROOT / "data/raw", "mnist", "test")
    train = Split("train", images[:160], labels[:160])
    data = Dataset(train, Split("test", images[160:260], labels[160:260]), measure_pixels(images))
    training = Training(Recipe.of(model, params), data, device)
    network, optimizer = training._network, training._optimizer
    trace = {f"initial {key}": _digest(x) for key, x in network.state_dict().items() if x.dim() > 1}

    def after_layer(name: str, layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        if name == "block1.conv":
            trace.setdefault("images of the first step", _digest(inputs[0]))
        trace.setdefault(f"output of {name}", _digest(output))

    def after_step(*_: object) -> None:
        number = sum("weights after" in key for key in trace) + 1
        if number == 1:
            for key, weight in reversed(list(network.named_parameters())):
                trace[f"gradient of {key}"] = _digest(weight.grad)
        weights = torch.cat([weight.flatten() for weight in network.parameters()])
        trace[f"weights after step {number}"] = _digest(weights)

    for key, layer in network.named_modules():
        if not list(layer.children()) and not isinstance(layer, nn.ReLU):  # which works in place
            layer.register_forward_hook(lambda *args, key=key: after_layer(key, *args))
    optimizer.register_step_post_hook(after_step)
    while not training.is_finished:
        epoch = training.run_epoch()
    trace["result"] = _digest(torch.cat([x.flatten() for x in training.result.parameters()]))
    return trace | {"last score": f"{epoch.followed.loss:.9g}"}


@pytest.mark.skipif(describe_kernels() != "avx2", reason="digests are of AVX2's kernels")
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_gives_the_committed_bytes(name: str) -> None:
    known, here = json.loads(DIGESTS.read_text())[name], _trace(name)
    different = [key for key in known | here if known.get(key) != here.get(key)]
    assert not different, (
        f"{name}: the first that differs is the {different[0]} "
        f"({len(different)} of {len(known)} differ), on {describe_processor()}"
    )


if __name__ == "__main__":
    traces = {name: _trace(name) for name in TRAININGS}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(x)}" for name, x in traces.items())
    DIGESTS.write_text(f"{{\n{lines}\n}}\n")
