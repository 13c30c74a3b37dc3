"""The schema of params.yaml: every number a user may change, with its unit and its range."""

import difflib
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict

from stages.core.errors import ParamsError
from stages.core.yaml12 import load_yaml

PARAMS_PATH = Path("params.yaml")
ALL_TRAINING_IMAGES = 60_000
DataName = Literal["mnist", "fashion-mnist", "kmnist"]
_NONE = object()  # no value equals it
MODELS = {"bn": "batch", "gn": "group", "ln": "layer"}  # name: normalization
# Models of studies only; each takes the parameters of models.ln.
STUDY_MODELS = {"instance": "instance", "channels": "channels", "none": "none"}


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _number(low: float, high: float, what: str, neutral: float | None = None) -> Any:  # noqa: ANN401
    """Require a number in [low, high]; the error names this range, and ``what`` else is allowed.

    A parameter added after the first studies were recorded has a ``neutral`` value, with which
    every training is what it was before.
    """
    extra = None if neutral is None else _neutral(neutral)
    return Field(
        ge=low, le=high, description=f"from {low} to {high}, {what}", json_schema_extra=extra
    )


def _numbers(low: float, high: float, what: str) -> Any:  # noqa: ANN401
    """Require a list of different numbers in [low, high], as ``_number`` does of one."""
    return Field(
        description=f"a list of different numbers from {low} to {high}, {what}",
        json_schema_extra={"low": low, "high": high},
    )


def _neutral(value: float | str) -> JsonDict:
    return {"neutral": value}


class DataParams(_Section):
    """The data set, and which of its training images are used, and which held out."""

    name: DataName = Field(
        description="mnist, fashion-mnist or kmnist", json_schema_extra=_neutral("mnist")
    )
    training_images: int = _number(
        10, ALL_TRAINING_IMAGES, "that are trained on, of those not held out", ALL_TRAINING_IMAGES
    )
    validation_images: int = _number(0, 59_000, "held out of the 60000 training images")
    split_seed: int = _number(0, 2**31 - 1, "the seed that draws the images held out or left out")

    @property
    def draws_images(self) -> bool:
        """Whether images are held out or left out, so that ``split_seed`` decides something."""
        return self.validation_images > 0 or self.training_images < ALL_TRAINING_IMAGES


class AugmentationParams(_Section):
    """Ranges of the random transformations of a training image; 0 leaves one out."""

    rotation: float = _number(0, 180, "degrees either way")
    translation: float = _number(0, 14, "pixels either way, along each axis")
    scale: float = _number(0, 0.9, "share either way")
    shear: float = _number(0, 60, "degrees either way, along the rows")
    brightness: float = _number(0, 1, "share either way")
    contrast: float = _number(0, 1, "share either way")
    fade: float = _number(0, 1, "the share of the training in which they weaken", neutral=0)


class NetworkParams(_Section):
    """The network that the three models share, apart from its normalization."""

    placement: Literal["after", "before"] = Field(
        description="after or before, namely the ReLU", json_schema_extra=_neutral("after")
    )
    dropout: float = _number(0, 0.9, "probability of a zeroed activation", neutral=0)
    initialization: Literal["torch", "he"] = Field(
        description="torch or he", json_schema_extra=_neutral("torch")
    )
    extra_blocks: int = _number(0, 64, "blocks after the sixth", neutral=0)
    skip: bool = Field(description="true or false", json_schema_extra=_neutral(False))

    @model_validator(mode="after")
    def _only_extra_blocks_are_skipped(self) -> "NetworkParams":
        if self.skip and not self.extra_blocks:
            raise ValueError(
                "network.skip is true, but network.extra_blocks is 0; allowed: false, or extra "
                "blocks, which skip connections lead around"
            )
        return self


class TrainParams(_Section):
    """The recipe that the three models share."""

    seed: int = _number(0, 2**31 - 1, "the seed of weights, batches, augmentation and dropout")
    device: Literal["cpu", "cuda", "mps"] = Field(description="cpu, cuda or mps")
    threads: int = _number(1, 256, "threads of one training")
    epochs: int = _number(1, 1_000, "passes over the training images")
    batch_size: int = _number(1, 10_000, "images per step")
    sort_batches: bool = Field(description="true or false", json_schema_extra=_neutral(False))
    optimizer: Literal["soap", "sgd"] = Field(description="soap or sgd")
    momentum: float = _number(0, 0.999, "decay per step of the gradients' running mean")
    nesterov: bool = Field(description="true or false")
    warmup: float = _number(0, 1, "share of the steps in which the learning rate rises")
    annealing: Literal["cos", "linear"] = Field(description="cos or linear")
    initial_divisor: float = _number(1, 1e6, "peak rate / first rate")
    final_divisor: float = _number(1, 1e9, "first rate / last rate")
    label_smoothing: float = _number(0, 0.9, "probability spread over all classes")
    weight_average: float = _number(0, 0.99999, "decay of the average; 0 is no average")
    augmentation: AugmentationParams

    @model_validator(mode="after")
    def _nesterov_needs_sgd_with_momentum(self) -> "TrainParams":
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError(
                "train.nesterov is true: Nesterov's update needs the optimizer sgd and a momentum "
                "above 0"
            )
        return self


class ModelParams(_Section):
    """The parameters that each model has for itself."""

    learning_rate: float = _number(1e-6, 10, "the peak of the one-cycle schedule")
    l1: float = _number(0, 1, "factor of the sum of absolute convolution weights in the loss")
    weight_decay: float = _number(0, 1, "times the rate, the share taken off the weights per step")


class BatchModelParams(ModelParams):
    """Batch normalization's own parameters beside those of every model."""

    normalization_batch: int = _number(
        0, 10_000, "images normalized together; 0 is all of the batch", neutral=0
    )
    part_statistics: Literal["own", "first", "early"] = Field(
        description="own, first or early", json_schema_extra=_neutral("own")
    )
    layer_norm_first: int = _number(
        0, 70, "places from the first on with layer normalization instead", neutral=0
    )


class GroupModelParams(ModelParams):
    """Group normalization's own parameter beside those of every model."""

    channels_per_group: Literal[1, 2, 4] = Field(
        description="1, 2 or 4: what divides 8, 16 and 12 channels"
    )


class ModelsParams(_Section):
    """The three models."""

    bn: BatchModelParams
    gn: GroupModelParams
    ln: ModelParams

    def __getitem__(self, name: str) -> ModelParams:
        """Return the parameters of the model called ``name`` (bn, gn or ln)."""
        return getattr(self, name)


class ShiftParams(_Section):
    """How evaluate changes the test images, mildest first; [] leaves a shift out."""

    contrast: list[float] = _numbers(0, 2, "factors of each pixel's distance from the mean")
    brightness: list[float] = _numbers(-1, 1, "added to pixels of 0 to 1")
    noise: list[float] = _numbers(0, 2, "standard deviations of what is added to pixels of 0 to 1")
    rotation: list[float] = _numbers(-180, 180, "degrees counter-clockwise")
    translation: list[int] = _numbers(-28, 28, "whole pixels to the right")
    blur: list[float] = _numbers(0.1, 5, "standard deviations in pixels")
    inversion: bool = Field(description="true or false")
    test_batch: int = _number(1, 10_000, "test images that bn normalizes together")
    test_batches: list[int] = _numbers(1, 10_000, "test images that bn normalizes together")

    @field_validator("*")
    @classmethod
    def _numbers_differ_and_are_in_range(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401
        field = cls.model_fields[str(info.field_name)]
        limits = field.json_schema_extra
        if isinstance(value, list) and isinstance(limits, dict):
            are_in_range = all(limits["low"] <= number <= limits["high"] for number in value)
            if not are_in_range or len(set(value)) < len(value):
                raise ValueError(
                    f"shifts.{info.field_name} is {reprlib.repr(value)}; allowed: "
                    f"{field.description}"
                )
        return value


class ReportParams(_Section):
    """What only the report depends on."""

    dots_per_inch: int = _number(50, 400, "the resolution of the figures")
    equivalence_margin: float = _number(
        0.001, 10, "percentage points within which two models count as equal"
    )


class Params(_Section):
    """The whole of params.yaml."""

    data: DataParams
    network: NetworkParams
    train: TrainParams
    models: ModelsParams
    shifts: ShiftParams
    report: ReportParams

    @model_validator(mode="after")
    def _normalization_batch_divides_the_batch(self) -> "Params":
        together, batch_size = self.models.bn.normalization_batch, self.train.batch_size
        if together > 0 and batch_size % together:
            raise ValueError(
                f"models.bn.normalization_batch is {together}; allowed: 0, or a divisor of "
                f"train.batch_size, which is {batch_size}"
            )
        if self.models.bn.part_statistics != "own" and not together:
            raise ValueError(
                f"models.bn.part_statistics is {self.models.bn.part_statistics}, but "
                "models.bn.normalization_batch is 0; allowed: own, or parts of a batch"
            )
        return self

    @model_validator(mode="after")
    def _layer_norm_has_places(self) -> "Params":
        first, places = self.models.bn.layer_norm_first, 6 + self.network.extra_blocks
        if first > places:
            raise ValueError(
                f"models.bn.layer_norm_first is {first}; allowed: at most {places}, the "
                "normalizations of the network"
            )
        return self


S = TypeVar("S", bound=BaseModel)


def load_params(path: Path = PARAMS_PATH) -> Params:
    """Read and validate ``path`` as a whole.

    Raises:
        ParamsError: the file cannot be read, is not YAML, or a key is unknown, missing, of the
            wrong type or out of range.
    """
    return validate(Params, read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:  # noqa: ANN401
    """Parse the YAML file ``path``.

    Raises:
        ParamsError: it cannot be read, or is not YAML.
    """
    try:
        return load_yaml(path.read_bytes())
    except OSError as error:
        raise ParamsError(f"{path} cannot be read ({error.strerror}); restore it") from None
    except ValueError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None


def validate(kind: type[S], content: Any, source: str) -> S:  # noqa: ANN401
    """Validate ``content``, parsed from the YAML file ``source``, as a ``kind``.

    Raises:
        ParamsError: a key is unknown, missing, of the wrong type or out of range.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ParamsError(f"{source}: {_first_line(error, kind)}") from None


def _first_line(error: ValidationError, kind: type[BaseModel]) -> str:
    """Say which key of ``kind`` is at fault, its value, and what is allowed."""
    # A misspelt key is also a missing one; the misspelt one is what the user must see.
    first, *others = sorted(
        error.errors(include_url=False, include_context=False),
        key=lambda fault: fault["type"] not in ("extra_forbidden", "invalid_key"),
    )
    # reprlib keeps the keys and values of a hostile file short, and on one line.
    parts = [str(part) for part in first["loc"] if part != "[key]"]
    key = ".".join(
        part if re.fullmatch(r"\w{1,40}", part) else reprlib.repr(part) for part in parts
    )
    if first["type"] in ("extra_forbidden", "invalid_key"):
        message = f"{key} is not a known key; {_known_keys(first['loc'], kind)}"
    elif first["type"] == "value_error":
        message = first["msg"].removeprefix("Value error, ")
    elif first["type"] == "missing":
        message = f"{key} is missing; allowed: {_allowed(first['loc'], kind)}"
    else:
        value = reprlib.repr(first["input"])
        message = f"{key or 'the file'} is {value}; allowed: {_allowed(first['loc'], kind)}"
    return message + (f" (and {len(others)} more)" if others else "")


def _section(location: tuple[int | str, ...], kind: type[BaseModel]) -> type[BaseModel]:
    """Return the class of the section at ``location``, or of the nearest one above it."""
    section = kind
    for key in location:
        field = section.model_fields.get(str(key))
        if field is None or not (
            isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        ):
            break
        section = field.annotation
    return section


def _allowed(location: tuple[int | str, ...], kind: type[BaseModel]) -> str:
    section = _section(location, kind)
    # For an item of a list, the allowed range belongs to the list's key.
    named = [section.model_fields[str(key)] for key in location if str(key) in section.model_fields]
    if not named or named[-1].description is None:
        return "the keys " + ", ".join(section.model_fields)
    nouns: dict[Any, str] = {int: "an integer ", float: "a number "}
    return nouns.get(named[-1].annotation, "") + named[-1].description


def _known_keys(location: tuple[int | str, ...], kind: type[BaseModel]) -> str:
    section = _section(location[:-1], kind)
    close = difflib.get_close_matches(str(location[-1]), section.model_fields, n=1)
    return f"did you mean {close[0]}?" if close else f"allowed: {', '.join(section.model_fields)}"


def decisive(section: _Section) -> dict[str, Any]:
    """Return the parameters of ``section`` without those at their neutral value."""
    kept = {}
    for name, field in type(section).model_fields.items():
        value, extra = getattr(section, name), field.json_schema_extra
        if isinstance(value, _Section):
            kept[name] = decisive(value)
        elif not isinstance(extra, dict) or value != extra.get("neutral", _NONE):
            kept[name] = value
    return kept


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dictionaries, by dotted key."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves
