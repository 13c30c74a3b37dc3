"""The state of a training, kept outside DVC's outputs and tied to that training.

An unfinished training resumes from it. The state of a finished one is kept until DVC has recorded
the outputs, which it does after the stage's process has ended. If DVC is killed in between, its
next run removes the outputs, and the state restores them without a training. A training whose
parameters were changed while it ran leaves its state too, for the day when they return.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from stages.core.dataset import Dataset
from stages.core.errors import PipelineError
from stages.core.files import read_tensors, write_tensors
from stages.core.machine import describe_training
from stages.core.recipe import Recipe
from stages.model.history import Epoch
from stages.model.scoring import Score

# DVC removes a stage's outputs before it runs the stage; this folder it ignores.
STATES = Path(".resume")
_NUM_KEPT = 4  # of each model


@dataclass(frozen=True)
class SavedState:
    """The path of one training's state, and the digest of everything that decides the training."""

    path: Path
    owner: str

    def save(self, epochs: list[Epoch], tensors: Mapping[str, torch.Tensor]) -> None:
        """Write the ``tensors`` of a training that has done ``epochs``."""
        rows = [asdict(epoch) for epoch in epochs]
        metadata = {"owner": self.owner, "epochs": rows, "content": _digest(tensors, rows)}
        write_tensors(self.path, tensors, metadata)
        self._forget_oldest()

    def read(self) -> tuple[dict[str, torch.Tensor], list[Epoch]] | None:
        """Return the tensors and epochs that ``save`` wrote, or None if this training has none.

        A damaged state is removed.
        """
        finished = _finished_path(self.path)
        if not self.path.exists() and finished.exists():
            finished.replace(self.path)
        if not self.path.exists():
            return None
        try:
            tensors, metadata = read_tensors(self.path, "")
            written = metadata["owner"], metadata["content"]
            if written != (self.owner, _digest(tensors, metadata["epochs"])):
                raise PipelineError("it does not hold what was saved")
            return tensors, [_parse_epoch(epoch) for epoch in metadata["epochs"]]
        except (PipelineError, KeyError, TypeError) as error:
            print(f"{self.path}: ignored because it is damaged ({error})", flush=True)
        self.path.unlink()
        return None

    def _forget_oldest(self) -> None:
        """Keep the states of the model's last few trainings: parameters may return to theirs."""
        model = self.path.name.rpartition("-")[0]
        states = sorted(
            self.path.parent.glob(f"{model}-*.safetensors"), key=lambda x: x.stat().st_mtime
        )
        for path in states[:-_NUM_KEPT]:
            path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Keep the state of a finished training until its outputs are recorded."""
        self.path.replace(_finished_path(self.path))


def saved_state(recipe: Recipe, dataset: Dataset, device: torch.device) -> SavedState:
    """Return the saved state of the training that has exactly these inputs.

    Its owner is a digest of the recipe, the data, the code of the modules in use, and the facts
    of the machine that decide the bits of the result.
    """
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.followed):
        digest.update(split.name.encode())
        digest.update(split.images.numpy())
        digest.update(split.labels.numpy())
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name.partition(".")[0] in ("stages", "__main__"):
            digest.update(Path(file).read_bytes())
    inputs = [recipe.describe(), asdict(dataset.pixels), describe_training(device)]
    digest.update(json.dumps(inputs, sort_keys=True).encode())
    owner = digest.hexdigest()
    return SavedState(STATES / f"{recipe.model}-{owner[:12]}.safetensors", owner)


def _digest(tensors: Mapping[str, torch.Tensor], epochs: list[dict[str, Any]]) -> str:
    digest = hashlib.sha256(json.dumps(epochs, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _parse_epoch(epoch: dict[str, Any]) -> Epoch:
    scores = {split: Score(**epoch[split]) for split in ("train", "followed", "unaveraged")}
    return Epoch(**(epoch | scores))


def _finished_path(state: Path) -> Path:
    return state.with_suffix(".finished")


def forget_finished_trainings() -> None:
    """Remove the states of trainings whose outputs DVC has recorded: call it after their stages."""
    for path in STATES.glob("*.finished"):
        path.unlink(missing_ok=True)
