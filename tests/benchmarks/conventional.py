"""A: the training as it is usually written, with torchvision's datasets and a DataLoader.

Its rotation takes the nearest pixel, which is torchvision's default; B's is bilinear.
"""

import resource
import time
from collections.abc import Iterator
from functools import cache

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms
from torchvision.datasets import MNIST

from stages.core.recipe import Recipe
from stages.model.network import network_for
from stages.preparation.sources import read_images
from stages.preparation.splitting import measure_pixels
from tests.benchmarks.timing import (
    BATCH_SIZE,
    ROOT,
    TEST_IMAGES,
    TRAIN_IMAGES,
    Timing,
    timed_params,
)

TIMED_IMAGES = 15_000  # of an epoch's 60,000: its time is four times theirs


class _Mnist(MNIST):
    """torchvision's MNIST, with data/raw in place of its folder: its own items, PIL and all."""

    def __init__(self, split: str, transform: transforms.Compose) -> None:
        images, self.targets = read_images(ROOT / "data/raw", "mnist", split)
        self.data = images.squeeze(1)
        self.transform, self.target_transform = transform, None


@cache
def _datasets() -> tuple[Dataset, Dataset]:
    pixels = measure_pixels(read_images(ROOT / "data/raw", "mnist", "train")[0])
    to_tensor = [transforms.ToTensor(), transforms.Normalize((pixels.mean,), (pixels.std,))]
    augmented = [transforms.RandomRotation((-7, 7)), transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)]
    train = _Mnist("train", transforms.Compose([*augmented, *to_tensor]))
    test = _Mnist("test", transforms.Compose(to_tensor))
    return train, test


def time_epoch(
    model: str, num_workers: int, num_images: int = TIMED_IMAGES
) -> tuple[Timing, float]:
    """Train ``model`` on part of an epoch and score it.

    Returns:
        The timing, and the peak memory in GiB, without that of the loader's workers.
    """
    params = timed_params(threads=torch.get_num_threads())
    train, test = _datasets()
    options = {"batch_size": BATCH_SIZE, "num_workers": num_workers}
    batches = DataLoader(Subset(train, range(num_images)), shuffle=True, **options)
    test_batches = DataLoader(test, **options)
    network = network_for(Recipe.of(model, params))
    rate, momentum = params.models[model].learning_rate, params.train.momentum
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum)
    steps = params.train.epochs * (TRAIN_IMAGES // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)

    loader = iter(batches)  # starts the workers, once an epoch: not to be multiplied
    start = time.perf_counter()
    _train(network, loader, optimizer, schedule)
    middle = time.perf_counter()
    _evaluate(network, test_batches)
    end = time.perf_counter()
    timing = Timing(
        (middle - start) * TRAIN_IMAGES / num_images, (end - middle) * TEST_IMAGES / len(test)
    )
    return timing, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _train(
    network: torch.nn.Module,
    batches: Iterator[list[torch.Tensor]],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.OneCycleLR,
) -> float:
    network.train()
    total, correct = 0.0, 0
    for images, labels in batches:
        optimizer.zero_grad()
        logits = network(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
        correct += (logits.argmax(dim=1) == labels).sum().item()
    return total / correct


@torch.no_grad()
def _evaluate(network: torch.nn.Module, batches: DataLoader) -> float:
    network.eval()
    total, correct = 0.0, 0
    for images, labels in batches:
        logits = network(images)
        total += F.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(dim=1) == labels).sum().item()
    return total / correct
