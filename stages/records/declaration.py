"""The studies that studies.yaml declares: a question each, and what varies to answer it."""

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.core.errors import ParamsError
from stages.core.params import read_yaml, validate

STUDIES_PATH = Path("studies.yaml")
RECORDS = Path("reports/studies")
_VALUES = (bool, int, float, str)
Values = Mapping[str, Any]  # of parameters, by their names as in params.yaml: train.epochs
_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


class Situation(BaseModel):
    """A situation in which people ask what to take, and the place in a study that answers."""

    model_config = _STRICT

    when: str = Field(min_length=1)
    at: bool | int | float | str | None = None
    readings: bool = False
    finding: str = Field(default="", pattern="^[a-z][a-z0-9_]*$")  # in reports/findings.json
    headline: bool = False  # told beside the answer

    @property
    def place(self) -> str:
        """The value of what varies, in words; "" if nothing does."""
        return "" if self.at is None else word_of(self.at)

    @property
    def text(self) -> str:
        """The situation in words, with its value."""
        return self.when.replace("{}", self.place)


class Published(BaseModel):
    """What others found at some of the values: errors in percent by model."""

    model_config = _STRICT

    network: str = Field(min_length=1)
    source: str = Field(min_length=1)
    axis: str = Field(min_length=1)
    at: list[bool | int | float | str] = Field(min_length=1)
    errors: dict[str, list[Annotated[float, Field(ge=0, le=100)]]] = Field(min_length=1)

    @property
    def places(self) -> list[str]:
        """The values of what varies, in words."""
        return list(map(word_of, self.at))


class Study(BaseModel):
    """One study; studies.yaml explains its keys at its head."""

    model_config = _STRICT

    name: str = Field(
        pattern="^[a-z0-9]+(-[a-z0-9]+)*$", description="a name of lower case letters and hyphens"
    )
    question: str = Field(min_length=1, description="a sentence")
    models: list[str] = Field(min_length=1, description="a list of models such as [bn, gn, ln]")
    seeds: int = Field(ge=1, le=10_000, description="from 1 to 10000, how many seeds")
    recipe: str = Field("", description="the name of one of the recipes")
    set: Values = Field({}, description="parameters, such as train.epochs: 3")
    vary: dict[str, list[Any]] = Field({}, description="parameters, each with a list of values")
    variants: list[Values] = Field([], description="a list of mappings of parameters")
    axis: str = Field("", description="a few words for what varies")
    named: str = Field("{}", pattern=r"^[^{}]*\{\}[^{}]*$", description="words with one {}")
    compare: Literal["models", "values"] = Field("models", description="models or values")
    note: str = Field("", description="a sentence or two")
    readings: str = Field("", description="a question, of how the networks of bn are evaluated")
    matters: float | None = Field(None, gt=0, le=100, description="percentage points, above 0")
    shifts: bool = Field(False, description="true or false")
    networks: bool = Field(False, description="true or false")
    situations: list[Situation] = Field([], description="a list of when, at and readings each")
    beside: str = Field("", description="the name of the study beside whose figure it is drawn")
    published: Published | None = Field(None, description="network, source, axis, at and errors")

    @model_validator(mode="after")
    def _can_be_planned(self) -> "Study":
        _refuse_repeated(self.models, "models")
        if self.vary and self.variants:
            raise ValueError("vary and variants are both given; use one of them")
        if len({len(values) for values in self.vary.values()}) > 1:
            lengths = {key: len(values) for key, values in self.vary.items()}
            raise ValueError(f"vary has lists of {lengths} values; allowed: all of one length")
        if not all(self.vary.values()):
            raise ValueError("vary has an empty list; allowed: one value or more")
        for values in (self.set, *self.each_variant):
            check_values(values)
        _refuse_repeated(self.each_variant, "vary" if self.vary else "variants")
        if any("data.validation_images" in values for values in self.each_variant):
            raise ValueError("data.validation_images varies; allowed: under set or in a recipe")
        self._check_places()
        return self

    def _check_places(self) -> None:
        """Refuse situations and published errors at places that the study does not compare."""
        places = list(map(word_of, next(iter(self.vary.values()), [])))
        allowed = f"allowed: {', '.join(places)}" if places else "but nothing varies"
        for one in self.situations:
            of_values = self.compare == "values"
            if one.place not in (places if places and not of_values else [""]):
                raise ValueError(f"situations has at {reprlib.repr(one.place)}; {allowed}")
            if self.variants or of_values != bool(self.shifts and self.vary):
                raise ValueError(
                    "situations are given; allowed: where models are compared, or on shifted "
                    "images the values of what varies"
                )
            if one.readings and not self.readings:
                raise ValueError("situations has readings, but the study asks nothing of them")
            if self.shifts and "{}" not in one.when:
                raise ValueError(
                    f"situations has when {reprlib.repr(one.when)}; allowed with shifts: words "
                    "with {}, which stands for what the images are"
                )
        if self.published is None:
            return
        for place in self.published.places:
            if place not in places:
                raise ValueError(f"published.at has {reprlib.repr(place)}; {allowed}")
        for model, errors in self.published.errors.items():
            if model not in self.models or len(errors) != len(self.published.at):
                raise ValueError(
                    f"published.errors has {len(errors)} of {reprlib.repr(model)}; allowed: one "
                    "for each value of published.at, of models of the study"
                )

    @property
    def each_variant(self) -> list[Values]:
        """What each variant sets; at least one, which sets nothing."""
        if self.vary:
            count = len(next(iter(self.vary.values())))
            return [{key: values[i] for key, values in self.vary.items()} for i in range(count)]
        return self.variants or [{}]

    @property
    def varied(self) -> str:
        """What varies, in words; "" if nothing does."""
        if not self.vary and not self.variants:
            return ""
        return self.axis or _shorten(next(iter(self.vary), "variant"))

    @property
    def places(self) -> list[str]:
        """Each variant in words: the value of what varies, or all that it sets; "" for nothing."""
        if self.vary:
            values = next(iter(self.vary.values()))
            return [self.named.format(word_of(value)) for value in values]
        return [_name(variant) for variant in self.variants] or [""]

    def epochs(self, usual: int) -> int:
        """Return how many its trainings take, where that does not vary; ``usual`` if not said."""
        return int(self.set.get("train.epochs", usual))

    @property
    def scores_test(self) -> bool:
        """Whether the test images are scored: not in a study that holds out others to choose by."""
        return "data.validation_images" not in self.set

    @property
    def record(self) -> Path:
        """The table of its trainings."""
        return RECORDS / f"{self.name}.csv"


def check_values(values: Values) -> None:
    """Refuse what cannot be a parameter's value.

    Raises:
        ValueError: it is not a parameter's name or value, or the study says it elsewhere.
    """
    for key, value in values.items():
        if key == "train.seed":
            raise ValueError("train.seed is set; allowed: `seeds`, their number, alone says which")
        if "." not in key or not isinstance(value, _VALUES):
            raise ValueError(
                f"{key} is {reprlib.repr(value)}; allowed: names such as train.epochs or "
                "model.learning_rate, with a number, a word, true or false each"
            )


def text_of(value: object) -> str:
    """Write a parameter's value as YAML does."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def word_of(value: object) -> str:
    """Write a value of what varies for readers."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _name(variant: Values) -> str:
    """Write all that a variant sets for readers."""
    shown = (f"{_shorten(key)} {text_of(value)}" for key, value in variant.items())
    return ", ".join(shown) or "base"


def _shorten(key: str) -> str:
    return key.split(".")[-1].replace("_", " ")


def _refuse_repeated(values: Sequence[object], key: str) -> None:
    for i, value in enumerate(values):
        if value in values[:i]:
            raise ValueError(f"{key} has {reprlib.repr(value)} twice; allowed: once")


def read_studies(path: Path = STUDIES_PATH) -> dict[str, Study]:
    """Read all studies, each with the parameters of its recipe among those it sets, by name.

    Whether models and parameters exist and allow these values is checked when a study is planned.

    Raises:
        ParamsError: the file cannot be read, or a study is not declared correctly.
    """
    file = validate(_File, read_yaml(path), str(path))
    return {
        name: _read_study(name, declared, file, path) for name, declared in file.studies.items()
    }


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    recipes: dict[str, Values] = Field({}, description="mappings of parameters, by name")
    studies: dict[str, dict[str, Any]] = Field(description="studies, by name")


def _read_study(name: str, declared: dict[str, Any], file: _File, path: Path) -> Study:
    source = f"{path}: the study {reprlib.repr(name)}"
    study = validate(Study, {**declared, "name": name}, source)
    if study.beside not in ("", *file.studies):
        raise ParamsError(
            f"{source}: beside is {study.beside!r}; allowed: {', '.join(file.studies)}"
        )
    if not study.recipe:
        return study
    if study.recipe not in file.recipes:
        raise ParamsError(
            f"{source}: recipe is {study.recipe!r}; allowed: {', '.join(file.recipes)}"
        )
    try:
        check_values(file.recipes[study.recipe])
    except ValueError as error:
        raise ParamsError(f"{path}: the recipe {study.recipe}: {error}") from None
    return study.model_copy(update={"set": {**file.recipes[study.recipe], **study.set}})
