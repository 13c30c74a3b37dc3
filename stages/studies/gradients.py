"""How gradients grow with depth before any training: `python -m stages.studies.gradients`.

In plain networks with batch normalization, gradients grow by a constant factor a layer from the
last layer to the first (Yang et al. 2019, theorem 3.9: 1.21 for normalization before the ReLU and
large batches). This measures the norms in the networks of the studies of depth.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from stages.core.dataset import to_floats
from stages.core.machine import set_up_machine
from stages.core.params import Params, load_params, validate
from stages.core.process import run_as_command
from stages.core.recipe import Recipe
from stages.model.history import write_rows
from stages.model.network import network_for
from stages.preparation.sources import RAW
from stages.preparation.splitting import prepare
from stages.records.gradients import PATH
from stages.training.loop import epoch_seed

MODELS = ("bn", "gn", "ln", "none")
EXTRA_BLOCKS = 64
NUM_SEEDS = 12
NUM_IMAGES = 256


def main() -> None:
    """Write the record: a row for each model, placement, seed and block."""
    params = load_params()
    set_up_machine(params.train)
    (train, *_), pixels = prepare(RAW, params.data)
    images = pixels.standardize(to_floats(train.images[:NUM_IMAGES]))
    labels = train.labels[:NUM_IMAGES].long()
    rows = [
        {
            "model": model,
            "placement": placement,
            "seed": seed,
            "block": block,
            "norm": f"{norm:.6g}",
        }
        for placement in ("after", "before")
        for model in MODELS
        for seed in range(NUM_SEEDS)
        for block, norm in measure(_recipe(params, model, placement), seed, images, labels)
    ]
    write_rows(PATH, rows)
    print(f"{PATH}: {len(rows)} norms of gradients")


def _recipe(params: Params, model: str, placement: str) -> Recipe:
    changes = {"placement": placement, "extra_blocks": EXTRA_BLOCKS, "skip": False}
    network = params.network.model_dump() | changes | {"initialization": "he"}
    content = params.model_dump() | {"network": network}
    return Recipe.of(model, validate(Params, content, "the study of gradients"))


def measure(
    recipe: Recipe, seed: int, images: torch.Tensor, labels: torch.Tensor
) -> Iterator[tuple[int, float]]:
    """Yield the number of each extra block, and the norm of its convolution's gradient.

    Args:
        recipe: of the network, which is drawn by ``seed`` as a training draws it.
        seed: the seed of the training.
        images: standardized, [N, 1, 28, 28]; one step's batch.
        labels: [N].
    """
    torch.manual_seed(epoch_seed(seed, 0))
    network = network_for(recipe).train()
    F.cross_entropy(network(images), labels).backward()
    for name, block in network.named_children():
        number = int(name.removeprefix("block")) if name.startswith("block") else 0
        if number > 6:
            yield number, float(block.conv.weight.grad.norm())


if __name__ == "__main__":
    run_as_command("gradients", main)
