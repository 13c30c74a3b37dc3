"""Everything that decides a training, in one frozen value from params.yaml to the checkpoint."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from stages.core.params import (
    MODELS,
    STUDY_MODELS,
    DataParams,
    ModelParams,
    NetworkParams,
    Params,
    TrainParams,
    decisive,
)

# The version of the arithmetic of a training. Raise it with a change of code after which the same
# parameters give other results, and not only other last digits: recorded rows of other versions
# are then left out. tests/test_bytes.py notices such a change.
TRAINING_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """All parameters of one model's training; ``own`` are those that this model has for itself.

    Together with the raw data, the code and the facts of ``machine.describe_training``, they
    decide every bit of the result.
    """

    model: str  # bn, gn, ln, or one of STUDY_MODELS
    data: DataParams
    network: NetworkParams
    train: TrainParams
    own: ModelParams

    @classmethod
    def of(cls, model: str, params: Params) -> "Recipe":
        """Return the recipe of ``model`` (bn, gn, ln, or one of STUDY_MODELS)."""
        own = params.models["ln" if model in STUDY_MODELS else model]
        return cls(model, params.data, params.network, params.train, own)

    @property
    def normalization(self) -> str:
        """The name of the model's normalization, as ``build_network`` takes it."""
        return {**MODELS, **STUDY_MODELS}[self.model]

    @property
    def followed_split(self) -> str:
        """The split that each epoch is scored on: the held-out images, if there are any."""
        return "validation" if self.data.validation_images > 0 else "test"

    def describe(self) -> dict[str, Any]:
        """Return what a checkpoint says about its training: all parameters that decide it."""
        return {
            "model": self.model,
            "normalization": self.normalization,
            "data": self._data(self.data.model_dump()),
            "network": self.network.model_dump(),
            "train": self.train.model_dump(),
            f"models.{self.model}": self.own.model_dump(),
        }

    @property
    def digest(self) -> str:
        """The digest of all parameters but the seed: trainings that share it can be compared.

        It begins with a letter, since a spreadsheet takes 79665e60 for a number. A parameter
        added later is left out at its neutral value, so that recorded rows stay valid.
        """
        train = decisive(self.train)
        for key in ("seed", "threads", "device"):
            del train[key]
        parts = [self._data(decisive(self.data)), decisive(self.network), train, decisive(self.own)]
        content = json.dumps([TRAINING_VERSION, *parts], sort_keys=True)
        return "r" + hashlib.sha256(content.encode()).hexdigest()[:8]

    def _data(self, values: dict[str, Any]) -> dict[str, Any]:
        """Leave the seed of a draw out of ``values`` where nothing is drawn."""
        return {k: v for k, v in values.items() if k != "split_seed" or self.data.draws_images}
