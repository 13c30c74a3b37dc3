"""The state of an unfinished training, kept outside DVC's outputs, and whose it is."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from stages.checkpoint import describe
from stages.dataset import Dataset
from stages.errors import PipelineError
from stages.files import read_tensors, write_tensors
from stages.finished import STATES, finished_path
from stages.history import Epoch
from stages.params import Params
from stages.provenance import describe_training
from stages.scoring import Score
from stages.training import Training


@dataclass(frozen=True)
class SavedState:
    """Where the state of one unfinished training is, and the digest of all that decides it."""

    path: Path
    owner: str

    def save(self, training: Training) -> None:
        """Write the state of ``training`` after an epoch."""
        epochs, state = [asdict(epoch) for epoch in training.epochs], training.state()
        metadata = {"owner": self.owner, "epochs": epochs, "content": _digest(state, epochs)}
        write_tensors(self.path, state, metadata)

    def resume(self, training: Training) -> None:
        """Have ``training`` go on from the saved state, if there is one of its own.

        A state that is damaged, or of other parameters, data, code or machine, is removed.
        """
        finished = finished_path(self.path)
        if not self.path.exists() and finished.exists():
            finished.replace(self.path)
        if not self.path.exists():
            return
        try:
            tensors, metadata = read_tensors(self.path, "")
            if metadata["owner"] == self.owner:
                if metadata["content"] != _digest(tensors, metadata["epochs"]):
                    raise PipelineError("it does not hold what was saved")
                training.restore(tensors, [_parse_epoch(epoch) for epoch in metadata["epochs"]])
                print(f"{self.path}: going on after epoch {len(training.epochs)}", flush=True)
                return
        except (PipelineError, KeyError, TypeError, RuntimeError) as error:
            print(f"{self.path}: ignored, for it is damaged ({error})", flush=True)
        self.remove()

    def finish(self) -> None:
        """Keep the state of a finished training until its outputs are recorded."""
        self.path.replace(finished_path(self.path))

    def remove(self) -> None:
        """Remove the state."""
        self.path.unlink(missing_ok=True)


def saved_state(model: str, params: Params, dataset: Dataset, device: torch.device) -> SavedState:
    """Return the saved state of the training of ``model`` that has exactly these inputs.

    Its owner digests the parameters, the data, the code of the modules in use and what of the
    machine decides the bits of the result.
    """
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.followed):
        digest.update(split.name.encode())
        digest.update(split.images.numpy())
        digest.update(split.labels.numpy())
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in ("stages", "__main__") and getattr(module, "__file__", None):
            digest.update(Path(module.__file__).read_bytes())
    inputs = [describe(model, params), asdict(dataset.pixels), describe_training(device)]
    digest.update(json.dumps(inputs, sort_keys=True).encode())
    return SavedState(STATES / f"{model}.safetensors", digest.hexdigest())


def _digest(tensors: Mapping[str, torch.Tensor], epochs: list[dict[str, Any]]) -> str:
    digest = hashlib.sha256(json.dumps(epochs, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _parse_epoch(epoch: dict[str, Any]) -> Epoch:
    scores = {split: Score(**epoch[split]) for split in ("train", "followed")}
    return Epoch(**(epoch | scores))
