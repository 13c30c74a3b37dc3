"""What makes two trainings comparable, and that recorded tables outlive new parameters."""

from stages.core.params import Params
from stages.core.recipe import Recipe
from tests.conftest import change

# The recipe of the tables recorded before `fade` was a parameter, and what stands in them.
RECORDED = {
    "data": {"validation_images": 0, "split_seed": 0},
    "train": {
        **{"seed": 0, "device": "cpu", "threads": 1, "epochs": 20, "batch_size": 64},
        **{"optimizer": "soap", "momentum": 0.9, "nesterov": False, "warmup": 0.3},
        **{"annealing": "cos", "initial_divisor": 25, "final_divisor": 10000},
        **{"label_smoothing": 0, "weight_average": 0.999, "dropout": 0},
        "augmentation": {
            **{"rotation": 15, "translation": 2, "scale": 0.15, "shear": 10},
            **{"brightness": 0.4, "contrast": 0.4},
        },
    },
    "own": {"learning_rate": 0.02, "l1": 0, "weight_decay": 0.0001},
}
DIGESTS = {"bn": "45a28ef7", "gn": "db1e9d05", "ln": "45a28ef7"}


def _recorded(params: Params) -> Params:
    """Return the recorded recipe, with what was added later at its neutral value."""
    content = params.model_dump()
    content["data"] |= RECORDED["data"]
    content["train"] |= RECORDED["train"]
    content["train"]["augmentation"] = RECORDED["train"]["augmentation"] | {"fade": 0}
    for model in ("bn", "gn", "ln"):
        content["models"][model] |= RECORDED["own"]
    content["models"]["gn"]["channels_per_group"] = 4
    return Params.model_validate(content)


def test_recorded_digests_stay_valid(params: Params) -> None:
    recorded = _recorded(params)
    assert {model: Recipe.of(model, recorded).digest for model in DIGESTS} == DIGESTS


def test_a_new_parameter_counts_where_it_is_not_neutral(params: Params) -> None:
    recorded = _recorded(params)
    for faded in (0.5, 0.2):
        other = change(recorded, train__augmentation__fade=faded)
        assert Recipe.of("bn", other).digest != DIGESTS["bn"]


def test_it_is_the_same_for_every_seed_and_machine_only(params: Params) -> None:
    def digest(**changes: object) -> str:
        return Recipe.of("gn", change(params, **changes)).digest

    assert digest() == digest(train__seed=params.train.seed + 1, train__threads=4)
    assert digest() == digest(models__bn__l1=0.123)
    assert digest() != digest(models__gn__l1=0.123)
    assert digest() != digest(train__epochs=params.train.epochs + 1)
