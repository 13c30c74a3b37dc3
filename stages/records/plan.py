"""From a study to its trainings: which recipe each variant of each model has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stages.core.errors import ParamsError
from stages.core.params import MODELS, STUDY_MODELS, Params, validate
from stages.core.recipe import Recipe
from stages.records.declaration import STUDIES_PATH, Study, Values, text_of
from stages.records.record import Key, Row


@dataclass(frozen=True)
class Arm:
    """A model with one variant, to be trained with several seeds.

    ``values`` holds what the variant sets for this model. If it varies parameters of bn alone
    (models.bn...), it sets nothing for gn, which is then a control: the same arm in each variant.
    """

    model: str
    values: Values
    recipe: Recipe


@dataclass(frozen=True)
class Planned:
    """One training: an arm with a seed."""

    arm: Arm
    seed: int

    @property
    def recipe(self) -> Recipe:
        """All parameters that decide it."""
        train = self.arm.recipe.train.model_copy(update={"seed": self.seed})
        return replace(self.arm.recipe, train=train)

    @property
    def row(self) -> Row:
        """Its row in the record, without results."""
        values = {key: text_of(value) for key, value in self.arm.values.items()}
        return {"model": self.arm.model, "seed": str(self.seed), **values}

    @property
    def key(self) -> Key:
        """What tells its row from all others."""
        return self.arm.model, self.seed, self.arm.recipe.digest


def plan(study: Study, params: Params) -> dict[str, list[Arm]]:
    """Return the arms of each model, one for each variant of ``study``, based on ``params``.

    Raises:
        ParamsError: a model or a parameter is unknown, a value is not allowed, or two arms are the
            same training.
    """
    return {model: _plan_model(study, model, params) for model in study.models}


def list_trainings(study: Study, params: Params) -> list[Planned]:
    """Return each training of ``study`` once: all arms with one seed, then with the next."""
    return [Planned(arm, seed) for seed in range(study.seeds) for arm in _each_arm(study, params)]


def in_order(rows: Sequence[Row], study: Study, params: Params) -> list[Row]:
    """Return ``rows`` in the order of variants, models and seeds; those of no arm come last."""
    places = {(arm.model, arm.recipe.digest): i for i, arm in enumerate(_each_arm(study, params))}

    def place(row: Row) -> tuple[int, int]:
        return places.get((row["model"], row["recipe"]), len(places)), int(row["seed"])

    return sorted(rows, key=place)


def _each_arm(study: Study, params: Params) -> list[Arm]:
    by_variant = zip(*plan(study, params).values(), strict=True)
    arms = [arm for of_variant in by_variant for arm in of_variant]
    return list({(arm.model, arm.recipe.digest): arm for arm in arms}.values())


def _plan_model(study: Study, model: str, params: Params) -> list[Arm]:
    source = f"{STUDIES_PATH}: the study {study.name}"
    known = [*MODELS, *STUDY_MODELS]
    if model not in known:
        raise ParamsError(f"{source}: models has {model!r}; allowed: {', '.join(known)}")
    section = model if model in MODELS else "ln"  # whose parameters the others take
    arms: dict[str, Arm] = {}
    planned = []
    for variant in study.each_variant:
        values = {key: x for key, x in variant.items() if _concerns(key, model)}
        content = params.model_dump()
        for key, value in {**study.set, **values}.items():
            own = f"models.{section}."
            key = key.replace("model.", own, 1).replace(f"models.{model}.", own, 1)
            _put(content, key, value, source)
        recipe = Recipe.of(model, validate(Params, content, source))
        arm = arms.setdefault(recipe.digest, Arm(model, values, recipe))
        if arm.values != values:
            raise ParamsError(
                f"{source}: {model} with {dict(values)} is the same training as with "
                f"{dict(arm.values)}; leave one out"
            )
        planned.append(arm)
    return planned


def _concerns(key: str, model: str) -> bool:
    return not key.startswith("models.") or key.startswith(f"models.{model}.")


def _put(content: Mapping[str, Any], key: str, value: object, source: str) -> None:
    """Put ``value`` into nested dictionaries."""
    *sections, name = key.split(".")
    target: Any = content
    for section in sections:
        target = target.get(section) if isinstance(target, dict) else None
    if not isinstance(target, dict) or isinstance(target.get(name), dict):
        raise ParamsError(f"{source}: {key} names no parameter")
    target[name] = value
