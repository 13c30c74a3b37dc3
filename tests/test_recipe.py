"""What makes two trainings comparable, and that recorded tables outlive new parameters."""

from stages.core.params import Params
from stages.core.recipe import Recipe
from tests.conftest import change

# Of the recipe in conftest.py, as recorded: the records' rows are found by such digests.
DIGESTS = {"bn": "re5595a3f", "gn": "rb66e7ab6", "ln": "re5595a3f"}


def test_recorded_digests_stay_valid(params: Params) -> None:
    assert {model: Recipe.of(model, params).digest for model in DIGESTS} == DIGESTS


def test_a_new_parameter_counts_where_it_is_not_neutral(params: Params) -> None:
    for faded in (0.5, 0.2):
        other = change(params, train__augmentation__fade=faded)
        assert Recipe.of("bn", other).digest != DIGESTS["bn"]
    other = change(params, data__name="fashion-mnist")
    assert Recipe.of("bn", other).digest != DIGESTS["bn"]


def test_it_is_the_same_for_every_seed_and_machine_only(params: Params) -> None:
    def digest(**changes: object) -> str:
        return Recipe.of("gn", change(params, **changes)).digest

    assert digest() == digest(data__split_seed=3)
    few = {"data__training_images": 100}
    assert digest(**few) != digest(**few, data__split_seed=3)
    assert digest() == digest(train__seed=params.train.seed + 1, train__threads=4)
    assert digest() == digest(models__bn__l1=0.123)
    assert digest() != digest(models__gn__l1=0.123)
    assert digest() != digest(train__epochs=params.train.epochs + 1)
