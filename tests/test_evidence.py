"""What the report claims follows from the numbers, and from no fewer than it needs."""

import dataclasses
from pathlib import Path

import pytest
import torch

from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.evaluation.metrics import Metrics
from stages.reporting.claims import answer, judge, tell_of_sign_flips
from stages.reporting.evidence import (
    Evidence,
    compare_by_images,
    compare_by_seeds,
    compare_family,
)
from stages.reporting.failures import explain_failure
from stages.reporting.mistakes import Guesses, read_off
from stages.reporting.seeds import Seeds, describe_seeds, read_seeds
from tests.conftest import change

MARGIN = 0.001
LEVEL = [0.9960, 0.9961, 0.9959, 0.9962, 0.9960]


def _by_seeds(**shifts: float) -> Evidence:
    """Five seeds of nearly the same accuracy, shifted for some models."""
    noise = {"bn": [0, 1, -1, 0, 1], "gn": [1, 0, 0, -1, 0], "ln": [0, -1, 1, 1, -1]}
    accuracy = {
        m: [x + shifts.get(m, 0) + n * 1e-4 for x, n in zip(LEVEL, noise[m], strict=True)]
        for m in MODELS
    }
    gap = {m: [0.999 - x for x in values] for m, values in accuracy.items()}
    return Evidence(
        unit="seeds",
        basis="over 5 seeds each",
        test_accuracy={m: sum(values) / 5 for m, values in accuracy.items()},
        accuracy_gap={m: sum(values) / 5 for m, values in gap.items()},
        by_accuracy=compare_by_seeds(accuracy, MARGIN),
        by_gap=compare_by_seeds(gap, MARGIN),
        margin=MARGIN,
        num_seeds=5,
    )


def _verdicts(evidence: Evidence) -> dict[str, str]:
    return {claim.subject: claim.verdict for claim in judge(evidence)}


def test_no_claim_is_supported_by_chance_differences() -> None:
    evidence = _by_seeds()
    assert set(_verdicts(evidence).values()) == {"not supported", "equal within 0.1 points"}
    text = answer(evidence)
    assert text.startswith(
        "Use any of the three: in test accuracy they are equal within 0.1 points, and"
    )
    assert "Over 5 seeds each: bn 99.606 %" in text
    ends = [end for x in evidence.by_accuracy for end in (x.interval.low, x.interval.high)]
    bound = f"{100 * max(map(abs, ends)):.3f} points"
    assert f"no difference is larger than {bound} on these images" in text


def test_one_clearly_better_model() -> None:
    evidence = _by_seeds(gn=0.002)
    verdicts = _verdicts(evidence)
    assert verdicts["gn has the best test accuracy"] == "supported"
    assert verdicts["gn has the smallest train-test gap"] == "supported"
    assert verdicts["test accuracy of bn and gn"] == "differ"
    assert verdicts["test accuracy of gn and ln"] == "differ"
    assert verdicts["test accuracy of bn and ln"] == "equal within 0.1 points"
    assert answer(evidence).startswith("Use gn. Over 5 seeds each: ")


def test_one_clearly_worse_model() -> None:
    evidence = _by_seeds(ln=-0.002)
    verdicts = _verdicts(evidence)
    best = max(("bn", "gn"), key=evidence.test_accuracy.get)
    assert verdicts[f"{best} has the best test accuracy"] == "not supported"
    assert verdicts["ln overfits most (largest gap)"] == "supported"
    text = answer(evidence)
    assert text.startswith("Use bn or gn. ")
    assert "bn and gn are equal within 0.1 points" in text


def test_a_difference_between_the_others_is_told() -> None:
    """bn is best by a few wild seeds, which show nothing; gn is steadily above ln."""
    accuracy = {
        "bn": [0.9990, 0.9940, 0.9990, 0.9940, 0.9990],
        "gn": [0.9961, 0.9962, 0.9961, 0.9963, 0.9962],
        "ln": [0.9951, 0.9951, 0.9952, 0.9952, 0.9951],
    }
    means = {model: sum(values) / 5 for model, values in accuracy.items()}
    compared = compare_by_seeds(accuracy, MARGIN)
    text = answer(Evidence("seeds", "over 5 seeds each", means, means, compared, compared))
    assert text.startswith("Use bn or gn. ")
    assert "gn is 0.104 points above ln" in text


def test_three_verdicts_of_a_pair() -> None:
    """Twelve seeds, of which bn and gn differ by little, bn and ln by much or by who knows what."""
    noise = [0, 1, -1, 2, -2, 1, 0, -1, 1, -1, 2, -2]
    bn = [0.9960 + n * 1e-5 for n in noise]
    gn = [x + 2e-4 + (i % 3) * 1e-5 for i, x in enumerate(bn)]
    ln = [x + (-1) ** i * 4e-3 + (i % 4) * 1e-4 for i, x in enumerate(bn)]
    compared = compare_by_seeds({"bn": bn, "gn": gn, "ln": ln}, MARGIN)
    means = {"bn": 0.996, "gn": 0.9962, "ln": 0.9962}
    by = {"margin": MARGIN, "num_seeds": 12}
    evidence = Evidence("seeds", "over 12 seeds each", means, means, compared, compared, **by)
    pairs = {claim.subject: claim for claim in judge(evidence)[3:]}
    assert pairs["test accuracy of bn and gn"].verdict == "differ"
    assert pairs["test accuracy of bn and gn"].reason.endswith(
        "; the difference is below 0.1 points"
    )
    assert pairs["test accuracy of bn and ln"].verdict == "not settled"
    assert tell_of_sign_flips(evidence).endswith("agrees with the paired test on every pair.")
    (bn_gn, *_) = compared
    assert bn_gn.p_sign_flips == pytest.approx(3 * 2 / 2**12)  # times 3 for the three pairs
    within = dataclasses.replace(bn_gn, p_value=0.2)
    undecided = dataclasses.replace(evidence, by_accuracy=[within])
    assert tell_of_sign_flips(undecided).endswith("disagrees with the paired test on bn and gn.")
    few = dataclasses.replace(evidence, num_seeds=6)
    assert "the exact sign-flip test could not show any difference" in tell_of_sign_flips(few)


def test_interval_of_a_difference_is_that_of_the_paired_seeds() -> None:
    """Differences 2, 1, 3 times 1e-4: mean 2, deviation 1, t(1 - 0.025 / 3, 2), / sqrt(3)."""
    base = [0.995, 0.995, 0.995]
    better = [0.9952, 0.9951, 0.9953]
    (bn_gn, *_) = compare_by_seeds({"bn": better, "gn": base, "ln": base}, MARGIN)
    assert bn_gn.interval.low == pytest.approx((2 - 7.64892 / 3**0.5) * 1e-4, rel=1e-4)
    assert bn_gn.interval.high == pytest.approx((2 + 7.64892 / 3**0.5) * 1e-4, rel=1e-4)


def test_direction_of_a_difference() -> None:
    (bn_gn, bn_ln, gn_ln) = _by_seeds(bn=-0.003).by_accuracy
    assert (bn_gn.first, bn_gn.second) == ("bn", "gn")
    assert bn_gn.difference < -0.002 > bn_ln.difference
    assert bn_gn.interval.low < bn_gn.difference < bn_gn.interval.high < 0
    assert gn_ln.interval.low < 0 < gn_ln.interval.high


def _guesses(wrong: set[int], total: int = 1000) -> Guesses:
    logits = torch.zeros(total, 10)
    logits[:, 0] = 1.0
    for index in wrong:
        logits[index, 1] = 2.0
    return read_off(logits, torch.zeros(total, dtype=torch.long))


def test_images_of_one_run() -> None:
    guesses = {
        "bn": _guesses(set(range(30))),
        "gn": _guesses(set(range(10))),
        "ln": _guesses(set(range(20, 40))),
    }
    bn_gn, bn_ln, gn_ln = compare_by_images(guesses)
    # bn is wrong alone 20 times and gn never: 2 ** -19, times 3 for the three tests.
    assert bn_gn.p_value == pytest.approx(3 * 2.0**-19)
    assert bn_gn.difference == pytest.approx(-0.02)
    # bn is wrong alone 20 times, ln 10 times.
    assert bn_ln.difference == pytest.approx(-0.01)
    # gn is wrong alone 10 times, ln 20 times: the same p-value, and Holm keeps them equal.
    assert gn_ln.p_value == pytest.approx(bn_ln.p_value)


def test_one_run_says_nothing_of_the_gap() -> None:
    guesses = {model: _guesses(set(range(10 * i))) for i, model in enumerate(MODELS)}
    evidence = Evidence(
        unit="images",
        basis="on the same 1000 test images, one run each",
        test_accuracy={model: 1 - 0.01 * i for i, model in enumerate(MODELS)},
        accuracy_gap={model: 0.01 * i for i, model in enumerate(MODELS)},
        by_accuracy=compare_by_images(guesses),
        by_gap=[],
    )
    verdicts = _verdicts(evidence)
    assert verdicts["bn has the smallest train-test gap"] == "not supported"
    assert verdicts["ln overfits most (largest gap)"] == "not supported"
    assert verdicts["bn has the best test accuracy"] == "supported"


def test_a_few_test_images_between_models_prove_nothing() -> None:
    """53, 46 and 52 errors, of which about half are the same images."""
    guesses = {
        "bn": _guesses(set(range(53)), 10_000),
        "gn": _guesses(set(range(20, 66)), 10_000),
        "ln": _guesses(set(range(40, 92)), 10_000),
    }
    assert not any(x.is_shown for x in compare_by_images(guesses))


def _write_seeds(path: Path, params: Params, seeds: int, recipe: str | None = None) -> None:
    lines = ["model,seed,test_accuracy,train_accuracy,recipe"]
    for i, model in enumerate(MODELS):
        digest = recipe or Recipe.of(model, params).digest
        lines += [f"{model},{seed},0.99{seed}{i},0.999,{digest}" for seed in range(seeds)]
    path.write_text("\n".join(lines) + "\n")


def test_seeds_of_the_present_recipe(params: Params, tmp_path: Path) -> None:
    _write_seeds(tmp_path / "s.csv", params, 3)
    seeds = read_seeds(params, tmp_path / "s.csv")
    assert seeds.seeds == [0, 1, 2]
    assert seeds.test_accuracy["gn"] == [0.9901, 0.9911, 0.9921]
    assert seeds.accuracy_gap["gn"] == pytest.approx([0.0089, 0.0079, 0.0069])


def test_seeds_of_another_recipe_do_not_count(params: Params, tmp_path: Path) -> None:
    _write_seeds(tmp_path / "s.csv", change(params, train__epochs=3), 3)
    assert read_seeds(params, tmp_path / "s.csv") is None


def test_one_seed_is_not_several(params: Params, tmp_path: Path) -> None:
    _write_seeds(tmp_path / "s.csv", params, 1)
    assert read_seeds(params, tmp_path / "s.csv") is None


def test_the_seed_and_the_machine_are_not_of_the_recipe(params: Params) -> None:
    same = change(params, train__seed=9, train__threads=7, train__device="cpu")
    assert Recipe.of("bn", same).digest == Recipe.of("bn", params).digest
    other = change(params, models__gn__l1=0.5)
    assert Recipe.of("bn", other).digest == Recipe.of("bn", params).digest
    assert Recipe.of("gn", other).digest != Recipe.of("gn", params).digest


def test_a_seed_that_diverged_counts_as_guesses(params: Params, tmp_path: Path) -> None:
    _write_seeds(tmp_path / "s.csv", params, 2)
    header, *lines = (tmp_path / "s.csv").read_text().splitlines()
    lines = [f"{line}," for line in lines if not line.startswith("gn,1")]
    digest = Recipe.of("gn", params).digest
    lines += [f'gn,1,,,{digest},"diverged at epoch 2, step 31"']
    (tmp_path / "s.csv").write_text("\n".join([f"{header},outcome", *lines]))
    seeds = read_seeds(params, tmp_path / "s.csv")
    assert seeds.test_accuracy["gn"] == [0.9901, 0.1]


def test_seeds_of_another_machine_or_code_are_told(params: Params) -> None:
    params = change(params, train__seed=3)
    accuracy = {"bn": [0.5, 0.6], "gn": [0.7, 0.8], "ln": [0.1, 0.9]}
    seeds = Seeds([1, 3], accuracy, accuracy)
    same = {m: Metrics(accuracy[m][1], 0.1, 0.9, 0.1, 0.0, 1, 1) for m in MODELS}
    assert describe_seeds(seeds, params, same) == ""
    other = same | {"ln": dataclasses.replace(same["ln"], test_accuracy=0.9001)}
    assert "seed 3 of ln differs from this run" in describe_seeds(seeds, params, other)
    assert describe_seeds(seeds, change(params, train__seed=0), other) == ""
    assert "does not hold two seeds of every model" in describe_seeds(None, params, same)


@pytest.mark.parametrize(
    ("test_accuracy", "train_accuracy", "test_loss", "reason"),
    [
        (0.4152, 0.42, 1.5, "its final weights get 41.52 % of the test images right"),
        (0.1, 0.1, 2.7e18, "get 10.00 % of the test images right"),
        (0.9, 0.9, 2.4, "its test loss is 2.4, above that of guessing (2.303)"),
        (0.85, 0.96, 0.5, "85.00 % of the test images right, but reached 96.00 % in training"),
        (0.87, 0.96, 0.5, ""),
        (0.51, 0.51, 2.2, ""),
        (0.996, 0.998, 0.01, ""),
    ],
)
def test_models_that_did_not_learn(
    test_accuracy: float, train_accuracy: float, test_loss: float, reason: str
) -> None:
    found = explain_failure(test_accuracy, train_accuracy, test_loss)
    assert found.endswith(reason)
    assert bool(found) == bool(reason)


def test_the_answer_leads_with_failures_and_compares_the_rest() -> None:
    accuracy = {"gn": [x + 0.002 for x in LEVEL], "ln": [*LEVEL[1:], LEVEL[0]]}
    means = {model: sum(values) / 5 for model, values in accuracy.items()}
    compared = compare_by_seeds(accuracy, MARGIN)
    assert [(x.first, x.second) for x in compared] == [("gn", "ln")]
    evidence = Evidence("seeds", "over 5 seeds each", means, means, compared, compared)
    text = answer(evidence, {"bn": "its test loss is 9"})
    assert text.startswith("bn did not learn: its test loss is 9. Nothing is claimed")
    assert " Use gn. Over 5 seeds each: gn 99.8" in text
    assert not any("bn" in statement for statement in _verdicts(evidence))
    nothing = Evidence("seeds", "over 5 seeds each", {"gn": 0.9}, {"gn": 0.9}, [], [])
    assert judge(nothing) == []
    assert "Use" not in answer(nothing, {"bn": "x", "ln": "y"})


def test_no_interval_goes_beyond_100_points() -> None:
    """Student's own would end at (0.8 + 0 + 0.85) / 3 + 4.30 x 0.477 / 3^0.5 = 1.73."""
    pairs = [(0.9, 0.1), (0.1, 0.1), (0.95, 0.1)]
    (compared,) = compare_family([("bn", "none", pairs)], MARGIN)
    assert compared.interval is not None
    assert compared.interval.high == 1
    assert compared.interval.low == pytest.approx(-0.634, abs=0.001)
