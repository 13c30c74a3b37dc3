import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stages.core.dataset import Dataset
from stages.core.errors import PipelineError
from stages.core.machine import set_up_machine
from stages.core.params import MODELS, AugmentationParams, Params
from stages.core.recipe import Recipe
from stages.model.network import convolution_weights
from stages.model.scoring import compute_logits, score
from stages.training.loop import Training, count_steps, epoch_seed
from stages.training.optimizer import one_cycle
from tests.conftest import change

CPU = torch.device("cpu")
NO_AUGMENTATION = {f"train__augmentation__{key}": 0 for key in AugmentationParams.model_fields}


def _train(model: str, params: Params, dataset: Dataset) -> Training:
    training = Training(Recipe.of(model, params), dataset, CPU)
    while not training.is_finished:
        training.run_epoch()
    return training


def _same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.fixture
def short(params: Params) -> Params:
    return change(params, train__epochs=2, train__batch_size=32)


@pytest.mark.parametrize(
    ("optimizer", "rate", "average"), [("soap", 0.02, 0), ("sgd", 0.05, 0), ("soap", 0.02, 0.9995)]
)
@pytest.mark.parametrize("model", MODELS)
def test_learns(
    model: str, optimizer: str, rate: float, average: float, params: Params, small_dataset: Dataset
) -> None:
    """Also with an average whose reach, 1 / (1 - decay) steps, is a multiple of all steps."""
    recipe = change(
        params,
        **{"train__epochs": 12, "train__batch_size": 16, "train__weight_average": average},
        **{"train__optimizer": optimizer, f"models__{model}__learning_rate": rate},
    )
    epochs = _train(model, recipe, small_dataset).epochs
    assert [epoch.number for epoch in epochs] == list(range(1, 13))
    assert epochs[-1].followed.accuracy > 0.7 > 0.4 > epochs[0].train.accuracy
    assert epochs[-1].train.loss < epochs[0].train.loss / 2


@pytest.mark.parametrize("model", ["bn", "ln"])
def test_a_training_without_scores_on_the_way_has_the_same_bits(
    model: str, short: Params, small_dataset: Dataset
) -> None:
    recipe = change(short, train__weight_average=0.9, network__dropout=0.1)
    scored = _train(model, recipe, small_dataset)
    training = Training(Recipe.of(model, recipe), small_dataset, CPU)
    assert training.run_to_end() == scored.epochs[-1].followed
    assert _same(training.result, scored.result)


def test_each_part_of_the_recipe_counts(short: Params, small_dataset: Dataset) -> None:
    neutral = change(short, network__dropout=0, train__label_smoothing=0, train__weight_average=0)
    others = {
        **{"train__seed": 1, "train__label_smoothing": 0.1, "train__weight_average": 0.1},
        **{"train__warmup": 0.6, "train__momentum": 0.1, "train__optimizer": "sgd"},
        **{"network__dropout": 0.1, "network__initialization": "he"},
        **{"network__placement": "before", "network__extra_blocks": 1},
    }
    results = [
        _train("gn", change(neutral, **{key: value}), small_dataset).result
        for key, value in [("train__seed", 0), *others.items()]
    ]
    weights = {tuple(x.state_dict()["classify.weight"].flatten().tolist()) for x in results}
    assert len(weights) == 1 + len(others)


def test_group_and_layer_normalization_do_not_see_the_normalization_batch(
    short: Params, small_dataset: Dataset
) -> None:
    parts = change(short, models__bn__normalization_batch=4)
    for model in ("gn", "ln"):
        results = [_train(model, params, small_dataset).result for params in (short, parts)]
        assert _same(*results)
    whole = change(short, models__bn__normalization_batch=short.train.batch_size)
    bn, as_bn, other = (
        _train("bn", params, small_dataset).result for params in (short, whole, parts)
    )
    assert _same(bn, as_bn)
    assert not _same(bn, other)


def test_parts_end_with_the_third_quarter_also_after_a_resumption(
    params: Params, small_dataset: Dataset
) -> None:
    """Three of four epochs are those in parts; from their state, another training goes on alike."""
    short = change(params, train__epochs=4, train__batch_size=32, models__bn__normalization_batch=4)
    early = Recipe.of("bn", change(short, models__bn__part_statistics="early"))
    in_parts, whole_at_end, resumed = (
        Training(recipe, small_dataset, CPU) for recipe in (Recipe.of("bn", short), early, early)
    )
    for training in (in_parts, whole_at_end):
        for _ in range(3):
            training.run_epoch()
    assert _same(in_parts.result, whole_at_end.result)
    state = {key: tensor.clone() for key, tensor in whole_at_end.state().items()}
    resumed.restore(state, whole_at_end.epochs)
    for training in (in_parts, whole_at_end, resumed):
        training.run_epoch()
    assert not _same(in_parts.result, whole_at_end.result)
    assert _same(resumed.result, whole_at_end.result)


def test_a_batch_is_sorted_by_label(params: Params, small_dataset: Dataset) -> None:
    recipe = change(params, train__batch_size=100, train__epochs=1)
    orders = []
    for sort in (False, True):
        training = Training(
            Recipe.of("bn", change(recipe, train__sort_batches=sort)), small_dataset, CPU
        )
        orders.append(training._draw_epoch(1)[0])
    labels = small_dataset.train.labels
    for drawn, in_order in zip(*(order.split(100) for order in orders), strict=True):
        assert sorted(drawn.tolist()) == sorted(in_order.tolist())
        assert labels[in_order].tolist() == sorted(labels[drawn].tolist())


@pytest.mark.parametrize(
    ("images", "batch_size", "steps"),
    [
        *((60_000, 64, 938), (60_000, 1024, 59), (65, 64, 1), (79, 64, 1), (80, 64, 2)),
        *((5, 64, 1), (9, 4, 3), (7, 1, 7)),
    ],
)
def test_a_small_rest_is_left_out(images: int, batch_size: int, steps: int) -> None:
    assert count_steps(images, batch_size) == steps


def test_each_epoch_leaves_out_others(params: Params, small_dataset: Dataset) -> None:
    recipe = change(params, train__batch_size=299, train__epochs=2)  # of 300 images
    training = Training(Recipe.of("bn", recipe), small_dataset, CPU)
    missing = [set(range(300)) - set(training._draw_epoch(epoch)[0].tolist()) for epoch in (1, 2)]
    assert [len(left_out) for left_out in missing] == [1, 1]
    assert missing[0] != missing[1]
    assert training.run_epoch().train.accuracy * 299 % 1 == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("average", [0, 0.9])
@pytest.mark.parametrize("optimizer", ["soap", "sgd"])
def test_restored_training_ends_with_the_same_bits(
    model: str, average: float, optimizer: str, short: Params, small_dataset: Dataset
) -> None:
    recipe = change(
        short,
        **{"train__epochs": 3, "train__batch_size": 8, "train__weight_average": average},
        **{"network__dropout": 0.1, "train__optimizer": optimizer},
    )
    whole = _train(model, recipe, small_dataset)
    stopped = Training(Recipe.of(model, recipe), small_dataset, CPU)
    stopped.run_epoch()
    resumed = Training(Recipe.of(model, recipe), small_dataset, CPU)
    resumed.restore(stopped.state(), stopped.epochs)
    while not resumed.is_finished:
        resumed.run_epoch()
    assert resumed.epochs == whole.epochs
    assert _same(resumed.result, whole.result)


def test_one_step_is_gradient_descent_with_l1_and_l2(
    params: Params, small_dataset: Dataset
) -> None:
    """One step over all images, against the penalties as terms of the loss."""
    neutral = change(
        params,
        **{"train__epochs": 1, "train__batch_size": 300, "train__optimizer": "sgd"},
        **{"train__momentum": 0.0, "train__weight_average": 0, "models__bn__learning_rate": 0.1},
        **{"models__bn__l1": 0.05, "models__bn__weight_decay": 0.5},
        **NO_AUGMENTATION,
    )
    training = Training(Recipe.of("bn", neutral), small_dataset, CPU)
    twin = Training(Recipe.of("bn", neutral), small_dataset, CPU).result.train()
    training.run_epoch()

    images = small_dataset.train.images.float() / 255 - small_dataset.pixels.mean
    logits = twin(images / small_dataset.pixels.std)
    loss = F.cross_entropy(logits, small_dataset.train.labels.long())
    loss = loss + 0.05 * sum(weight.abs().sum() for weight in convolution_weights(twin))
    loss = loss + 0.5 / 2 * sum(weight.square().sum() for weight in twin.parameters())
    loss.backward()
    for ours, weight in zip(training.result.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, weight - 0.1 * weight.grad, rtol=0, atol=3e-4)


def test_average_is_the_exponential_moving_average(short: Params, small_dataset: Dataset) -> None:
    """Against the recurrence by hand, with one step an epoch; the first decays are smaller."""
    recipe = change(short, train__epochs=4, train__batch_size=300, train__weight_average=0.3)
    training = Training(Recipe.of("bn", recipe), small_dataset, CPU)
    expected = {
        name: value.clone()
        for name, value in training.state().items()
        if name.startswith("network.") and value.is_floating_point()
    }
    for decay in (2 / 11, 3 / 12, 0.3, 0.3):
        training.run_epoch()
        for name, value in training.state().items():
            if name in expected:
                expected[name] = decay * expected[name] + (1 - decay) * value
    averaged = training.result.state_dict()
    assert any("running_mean" in name for name in expected)  # normalization buffers included
    for name, value in expected.items():
        torch.testing.assert_close(averaged[name.removeprefix("network.")], value)


def test_train_score_is_of_the_images_as_they_were_trained_on(
    short: Params, small_dataset: Dataset
) -> None:
    """One step over all images: its loss is that of the fresh weights."""
    neutral = change(short, train__batch_size=300, network__dropout=0, **NO_AUGMENTATION)
    training = Training(Recipe.of("ln", neutral), small_dataset, CPU)
    fresh = compute_logits(training.result, small_dataset.train, small_dataset.pixels, CPU)
    expected = score(fresh, small_dataset.train.labels)
    epoch = training.run_epoch()
    assert epoch.train.loss == pytest.approx(expected.loss, rel=1e-4)
    assert epoch.train.accuracy == pytest.approx(expected.accuracy, abs=0.01)


def test_followed_score_is_of_the_result(short: Params, small_dataset: Dataset) -> None:
    training = _train("gn", change(short, train__weight_average=0.5), small_dataset)
    logits = compute_logits(training.result, small_dataset.followed, small_dataset.pixels, CPU)
    assert training.epochs[-1].followed == score(logits, small_dataset.followed.labels)


def test_divergence_is_one_line(params: Params, small_dataset: Dataset) -> None:
    wild = change(
        params, train__epochs=30, train__batch_size=16, models__gn__learning_rate=10.0,
        models__gn__weight_decay=1.0, train__momentum=0.999, train__warmup=0.0,
        train__optimizer="sgd",
    )  # fmt: skip
    line = (
        r"^gn diverged: its loss is not finite at epoch \d+, step \d+ of 19, learning rate \S+; "
        r"try a smaller models\.gn\.learning_rate$"
    )
    with pytest.raises(PipelineError, match=line):
        _train("gn", wild, small_dataset)


@pytest.mark.parametrize(
    ("steps", "warmup"),
    [(1, 0.3), (2, 0.3), (100, 0.3), (100, 0.0), (10, 1.0), (8, 0.125), (10, 0.1)],
)
@pytest.mark.parametrize("annealing", ["cos", "linear"])
def test_one_cycle_schedule(annealing: str, steps: int, warmup: float, params: Params) -> None:
    """The closed form: half cosines, or lines, between first, peak and last learning rate."""
    recipe = change(
        params,
        **{"train__annealing": annealing, "train__warmup": warmup},
        **{"train__initial_divisor": 10, "train__final_divisor": 100},
    ).train
    rates = one_cycle(0.4, steps, recipe)
    top = warmup * steps - 1
    for step, rate in enumerate(rates):
        if steps == 1:
            low, high, share = 0.4, 0.4, 0.0
        elif step <= top:
            low, high, share = 0.4, 0.04, step / top if top else 1.0
        else:
            low, high, share = 0.0004, 0.4, (step - top) / (steps - 1 - top)
        height = (1 + math.cos(math.pi * share)) / 2 if annealing == "cos" else 1 - share
        expected = low + (high - low) * height
        assert rate == pytest.approx(expected, rel=1e-6), step
    assert len(rates) == steps


def test_seeds_of_epochs_differ() -> None:
    seeds = {epoch_seed(seed, epoch) for seed in range(50) for epoch in range(50)}
    assert len(seeds) == 2500


def test_machine_is_deterministic_and_has_the_threads(params: Params) -> None:
    device = set_up_machine(change(params, train__threads=2, train__device="cpu").train)
    assert device.type == "cpu"
    assert torch.get_num_threads() == 2
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_missing_device(params: Params) -> None:
    with pytest.raises(PipelineError, match=r"train\.device is cuda, which this machine lacks"):
        set_up_machine(change(params, train__device="cuda").train)
