"""Training one model: from fresh weights, or a saved state, one epoch after another."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stages.core.dataset import Dataset, to_floats
from stages.core.errors import DivergedError
from stages.core.recipe import Recipe
from stages.model.history import Epoch
from stages.model.network import convolution_weights, network_for
from stages.model.normalization import normalize_whole_batches
from stages.model.scoring import Score, compute_logits, score
from stages.training.augmentation import Draws, augment, draw
from stages.training.memory_layout import lay_out
from stages.training.optimizer import build_optimizer, one_cycle, restore, set_rate, state_of
from stages.training.soap import Soap
from stages.training.weight_average import WeightAverage

_EARLY = 0.75  # the share of the training in which part_statistics "early" normalizes parts
_AUGMENTED_AT_ONCE = 512  # images; fewer would take more calls, more would take more memory


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of all that is random in an epoch; epoch 0 draws the initial weights.

    Each epoch has its own seed, so a resumed training needs no saved generator. All models share
    these seeds: with the same ``train.seed`` they have the same initial weights, batches,
    transformations and dropped activations, and differ only in their normalization.
    """
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0])


def count_steps(images: int, batch_size: int) -> int:
    """Return the steps of an epoch; the last one may take fewer than ``batch_size`` images.

    If they are fewer than a quarter of it, they are left out, different ones in each epoch: the
    gradient of a few images is mostly noise, and batch normalization needs several numbers.
    """
    full, rest = divmod(images, batch_size)
    return full + (full == 0 or rest >= batch_size / 4)


class Training:
    """The training of one model; ``epochs`` are those done so far."""

    def __init__(self, recipe: Recipe, dataset: Dataset, device: torch.device) -> None:
        """Prepare to train by ``recipe`` from fresh weights on ``device``."""
        self.epochs: list[Epoch] = []
        self._model, self._recipe, self._own = recipe.model, recipe.train, recipe.own
        self._dataset, self._device = dataset, device
        self._images = dataset.train.images.to(device)
        self._labels = dataset.train.labels.to(device).long()

        torch.manual_seed(epoch_seed(self._recipe.seed, 0))
        self._network = lay_out(network_for(recipe), device, self._recipe.threads)
        decay = self._recipe.weight_average
        self._average = WeightAverage(self._network, decay) if decay > 0 else None
        self._optimizer = build_optimizer(self._network, recipe)
        self._steps_per_epoch = count_steps(len(self._labels), self._recipe.batch_size)
        steps = self._steps_per_epoch * self._recipe.epochs
        is_early = getattr(self._own, "part_statistics", "own") == "early"
        self._last_step_in_parts = _EARLY * steps if is_early else math.inf
        self._learning_rates = one_cycle(self._own.learning_rate, steps, self._recipe)

    @property
    def result(self) -> nn.Module:
        """The network that results: the average of the weights if one is kept."""
        return self._network if self._average is None else self._average.network

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done."""
        return len(self.epochs) >= self._recipe.epochs

    def run_epoch(self, on_images: Callable[[int], object] = lambda count: None) -> Epoch:
        """Train on each image once, score the result, and add both to ``epochs``.

        Args:
            on_images: called now and then with the number of images trained on since.

        Raises:
            DivergedError: the loss is no longer finite.
        """
        number = len(self.epochs) + 1
        losses, correct = self._train_on_all_images(number, on_images)
        unaveraged = followed = self._score(self._network)
        if self._average is not None:
            followed = self._score(self._average.network)
        self._check_finite(number, losses, followed, unaveraged)
        epoch = Epoch(
            number=number,
            learning_rate=self._rate(number, self._steps_per_epoch),
            train=Score(float(losses.mean()), float(correct.cpu().double().mean())),
            followed=followed,
            followed_split=self._dataset.followed.name,
            unaveraged=unaveraged,
        )
        self.epochs.append(epoch)
        return epoch

    def run_to_end(self) -> Score:
        """Train to the end from fresh weights, score only the result, and return its score.

        The weights are bit for bit those of calling ``run_epoch`` for each epoch.

        Raises:
            DivergedError: the loss is no longer finite.
        """
        for number in range(1, self._recipe.epochs + 1):
            losses, _ = self._train_on_all_images(number, lambda count: None)
            self._check_finite(number, losses)
        followed = self._score(self.result)
        self._check_finite(number, losses, followed)
        return followed

    def state(self) -> dict[str, torch.Tensor]:
        """Return what ``restore`` needs beside ``epochs``: weights, average and optimizer."""
        optimizer = state_of(self._optimizer, self._network)
        parts = {"network": self._network.state_dict(), "optimizer": optimizer}
        if self._average is not None:
            parts["average"] = self._average.state_dict()
        return {f"{part}.{key}": x for part, tensors in parts.items() for key, x in tensors.items()}

    def restore(self, state: Mapping[str, torch.Tensor], epochs: list[Epoch]) -> None:
        """Resume from a ``state`` of the same training, taken after ``epochs``.

        Raises:
            KeyError, RuntimeError: the state belongs to another network.
        """

        def part(name: str) -> dict[str, torch.Tensor]:
            prefix = f"{name}."
            return {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}

        self._network.load_state_dict(part("network"))
        if self._average is not None:
            self._average.restore(part("average"))
        restore(self._optimizer, self._network, part("optimizer"))
        self.epochs = list(epochs)

    def _score(self, network: nn.Module) -> Score:
        """Score ``network`` on the images that each epoch is scored on."""
        split = self._dataset.followed
        logits = compute_logits(network, split, self._dataset.pixels, self._device)
        return score(logits, split.labels)

    def _train_on_all_images(
        self, number: int, on_images: Callable[[int], object]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each image's loss, in training order, and whether it was classified correctly."""
        order, draws = self._draw_epoch(number)
        batch_size = self._recipe.batch_size
        images_at_once = batch_size * max(1, _AUGMENTED_AT_ONCE // batch_size)
        self._network.train()
        logits: list[torch.Tensor] = []
        for start in range(0, len(order), images_at_once):
            part = slice(start, start + images_at_once)
            images, labels = self._augmented(order[part], draws[part])
            for batch in zip(images.split(batch_size), labels.split(batch_size), strict=True):
                step = (number - 1) * self._steps_per_epoch + len(logits) + 1
                set_rate(self._optimizer, self._learning_rates[step - 1])
                if step > self._last_step_in_parts:
                    normalize_whole_batches(self._network)
                logits.append(self._step(*batch))
                if isinstance(self._optimizer, Soap):
                    self._optimizer.update_bases(step)
                if self._average is not None:
                    self._average.update(step)
            on_images(len(labels))
        all_logits, labels = torch.cat(logits), self._labels[order]
        losses = F.cross_entropy(all_logits, labels, reduction="none")
        return losses, all_logits.argmax(dim=1) == labels

    def _draw_epoch(self, number: int) -> tuple[torch.Tensor, Draws]:
        """Draw the order of the images, and a transformation for each place in it."""
        seed = epoch_seed(self._recipe.seed, number)
        torch.manual_seed(seed)  # dropout
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self._labels), generator=generator)
        batch_size = self._recipe.batch_size
        order = order[: self._steps_per_epoch * batch_size]
        if self._recipe.sort_batches:
            order = torch.cat([self._sorted(batch) for batch in order.split(batch_size)])
        progress = (number - 1 + torch.arange(len(order)) / len(order)) / self._recipe.epochs
        draws = draw(progress, self._recipe.augmentation, generator)
        return order.to(self._device), draws.to(self._device)

    def _sorted(self, batch: torch.Tensor) -> torch.Tensor:
        """Sort ``batch``, indices of images, by the images' labels."""
        return batch[self._dataset.train.labels[batch].argsort(stable=True)]

    def _augmented(self, order: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        images = augment(to_floats(self._images[order]), draws)
        return self._dataset.pixels.standardize(images), self._labels[order]

    def _rate(self, epoch: int, step: int) -> float:
        """Return the learning rate of a step; epochs and steps count from 1."""
        return self._learning_rates[(epoch - 1) * self._steps_per_epoch + step - 1]

    def _step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Take one step of gradient descent; return the logits before it."""
        self._optimizer.zero_grad()
        logits = self._network(images)
        smoothing = self._recipe.label_smoothing
        F.cross_entropy(logits, labels, label_smoothing=smoothing).backward()
        if self._own.l1 > 0:
            self._add_l1_gradient()
        self._optimizer.step()
        return logits.detach()

    def _add_l1_gradient(self) -> None:
        """Add the gradient of l1 times the sum of the absolute convolution weights.

        The penalty of the lasso (Tibshirani 1996). As a term of the loss instead, it would cost
        forty more calls per step.
        """
        for weight in convolution_weights(self._network):
            weight.grad.add_(weight.detach().sign(), alpha=self._own.l1)

    def _check_finite(self, number: int, losses: torch.Tensor, *scores: Score) -> None:
        bad = (~losses.isfinite()).nonzero()
        if len(bad) == 0 and all(math.isfinite(one.loss) for one in scores):
            return
        steps = self._steps_per_epoch
        step = int(bad[0]) // self._recipe.batch_size + 1 if len(bad) else steps
        raise DivergedError(
            f"{self._model} diverged: its loss is not finite at epoch {number}, step {step} of "
            f"{steps}, learning rate {self._rate(number, step):.3g}; "
            f"try a smaller models.{self._model}.learning_rate",
            number,
            step,
        )
