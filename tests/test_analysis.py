"""What the numbers show: verdicts, choices and studies, by values that are computed another way."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from scipy.stats import ttest_rel
from statsmodels.stats.multitest import multipletests

from stages.analysis.advice import advise, choose
from stages.analysis.comparison import Comparison, Pair, Verdict, compare_by_seeds
from stages.analysis.evidence import Evidence, weigh
from stages.analysis.failures import judge_training
from stages.analysis.inference import Interval
from stages.analysis.inputs import read_records
from stages.analysis.shifts import BATCH, Shifts
from stages.analysis.studies import ShiftedStudy, Studies, ask, compare_studies
from stages.core.params import MODELS, Params
from stages.evaluation.shifts import CLEAN, SeededRow, Shift, list_cases
from stages.records.declaration import Situation
from stages.records.plan import Planned, list_trainings
from stages.records.record import Row, write_rows
from stages.records.results import CHANCE, Results
from stages.reporting.questions import count_seeds
from tests.conftest import change
from tests.made_up import DIVERGED, collect_made_up, declare, record, score

MARGIN = 0.001
NOISE = [0, 1, -1, 2, -2, 1, 0, -1, 1, -1]  # ten thousandths, seed by seed


# Two that are compared


def _pair(difference: float, spread: float = 1e-4, place: str = "") -> Pair:
    """gn and ln with ten seeds; ln is at 0.99, gn above it by ``difference`` and noise."""
    gn = {seed: 0.99 + difference + x * spread for seed, x in enumerate(NOISE)}
    return Pair("gn", "ln", gn, dict.fromkeys(gn, 0.99), place)


PAIRS = [_pair(0.002), _pair(-0.3), _pair(0, spread=0.002), _pair(0), _pair(1e-6)]


def test_three_verdicts() -> None:
    found = compare_by_seeds(PAIRS, MARGIN)
    assert [x.verdict for x in found] == ["differ", "differ", "not settled", "equal", "equal"]
    assert [x.order[0] for x in found[:2]] == ["gn", "ln"]
    assert (found[1].size, *found[1].accuracies) == pytest.approx((0.3, 0.69, 0.99))
    # A difference that is shown, and shown to be small: 2 and 0.2 ten thousandths.
    (small,) = compare_by_seeds([_pair(2e-4, spread=2e-5)], MARGIN)
    assert (small.verdict, small.is_within_margin) == (Verdict.DIFFER, True)
    # The least p-value of ten sign flips, 2 / 2^10, times 5; with six seeds they show nothing.
    assert found[1].p_sign_flips == pytest.approx(5 * 2 / 2**10)
    few = Pair("gn", "ln", dict(list(PAIRS[1].of_first.items())[:6]), PAIRS[1].of_second)
    assert [x.p_sign_flips for x in compare_by_seeds([few] * 5, MARGIN)] == [None] * 5


def test_all_pairs_are_one_family() -> None:
    """P-values by scipy, corrected by statsmodels; the seeds that only one has are left out."""
    more = Pair("gn", "ln", PAIRS[2].of_first | {10: 0.5}, PAIRS[2].of_second)
    nothing = Pair("a", "b", {0: 0.1, 1: 0.1}, {0: 0.1, 1: 0.1}, both_diverged=True)
    one_seed = Pair("a", "b", {0: 0.9}, {0: 0.8, 1: 0.8})
    pairs = [*PAIRS[:2], more, *PAIRS[3:]]
    raw = [ttest_rel(*zip(*pair.by_seed, strict=True)).pvalue for pair in pairs]
    expected = multipletests(raw, method="holm")[1]
    found = compare_by_seeds([nothing, one_seed, *pairs], MARGIN)
    assert [x.p_value for x in found] == pytest.approx([1, *expected], rel=1e-6)
    assert [x.both_diverged for x in found] == [True] + 5 * [False]


def test_no_interval_goes_beyond_100_points() -> None:
    """Student's own would end at (0.8 + 0 + 0.85) / 3 + 4.30 x 0.477 / 3^0.5 = 1.73."""
    pair = Pair("bn", "none", {0: 0.9, 1: 0.1, 2: 0.95}, dict.fromkeys(range(3), 0.1))
    (x,) = compare_by_seeds([pair], MARGIN)
    assert (x.interval.low, x.interval.high) == pytest.approx((-0.634, 1), abs=0.001)


@pytest.mark.parametrize(
    ("test_accuracy", "train_accuracy", "test_loss", "by"),
    [
        *((0.4152, 0.42, 1.5, "accuracy"), (0.1, 0.1, 2.7e18, "accuracy")),
        *((0.9, 0.9, 2.4, "loss"), (0.85, 0.96, 0.5, "drop"), (0.87, 0.96, 0.5, None)),
        *((0.51, 0.51, 2.2, None), (0.996, 0.998, 0.01, None)),
    ],
)
def test_models_that_did_not_learn(
    test_accuracy: float, train_accuracy: float, test_loss: float, by: str | None
) -> None:
    found = judge_training(test_accuracy, train_accuracy, test_loss)
    assert (found and found.by) == by


# Studies and seeds


def test_pairs_of_a_study(params: Params) -> None:
    """Controls are compared once, models at each place, readings with the running averages."""
    results = collect_made_up(params, score, vary={"models.bn.l1": [0, 0.1]}, readings="How?")
    models, readings = ask(results, MARGIN)
    assert [(x.first, x.second, x.place) for x in models.comparisons] == [
        *(("bn", "gn", "0"), ("bn", "gn", "0.1"), ("bn", "ln", "0"), ("bn", "ln", "0.1")),
        ("gn", "ln", ""),
    ]
    assert models.comparisons[1].accuracies == pytest.approx((CHANCE, 0.9799))
    assert {(x.first, x.second) for x in readings.comparisons} == {
        *(("bn-recomputed", "bn"), (BATCH, "bn")),
    }
    assert [x.both_diverged for x in readings.comparisons] == [False, True] * 2


def test_values_are_compared_with_the_first(params: Params) -> None:
    def by_epochs(training: Planned) -> Row:
        drop = (training.recipe.train.epochs - 1) / 10 + training.seed**2 / 1e4
        return {"test_accuracy": f"{0.99 - drop * training.recipe.train.epochs:.4f}"}

    vary = {"train.epochs": [1, 2, 4]}
    (question,) = ask(
        collect_made_up(params, by_epochs, vary=vary, compare="values", models=["gn"]), MARGIN
    )
    assert [(x.of, x.first, x.second) for x in question.comparisons] == [
        *(("gn", "2", "1"), ("gn", "4", "1")),
    ]
    # With two epochs 20 points less, and a further hundredth of a point by the squared seed.
    assert question.comparisons[0].difference == pytest.approx(-0.2 - 5 / 3 / 1e4)


@pytest.mark.parametrize("model", ["bn", "gn"])
def test_a_record_that_has_only_begun(model: str, params: Params) -> None:
    """As while it is made: rows of one model, none of the others yet."""
    vary = {"models.bn.normalization_batch": [2, 4]}
    results = collect_made_up(
        params, lambda x: score(x) if x.arm.model == model else {}, vary=vary, readings="How?"
    )
    found = compare_studies({"x": results}, params).questions
    assert [(x.is_of_readings, x.comparisons) for x in found][:1] == [(False, [])]
    assert len(found) == (2 if model == "bn" else 1)


def test_what_is_shown(tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the seeds nor a search, nor what other parameters were recorded with."""
    monkeypatch.chdir(tmp_path)
    keys = {
        "seeds": {},
        "search": {"set": {"data.validation_images": 10}},
        "other": {"set": {"train.epochs": 3}},
        "impossible": {"vary": {"models.bn.normalization_batch": [1, 64]}},
        "empty": {},
    }
    usual = {"question": "?", "models": ["bn", "gn", "ln"], "seeds": 3}
    declared = {name: declare(name=name, **own) for name, own in keys.items()}
    studies = {name: usual | own for name, own in keys.items()}
    Path("studies.yaml").write_text(json.dumps({"studies": studies}))
    for name in ("seeds", "search", "other", "impossible"):
        write_rows(declared[name].record, record(declared[name], params, score))
    found = compare_studies(dict(read_records(params)), params)
    assert [x.name for x in found.questions] == ["study_other", "study_impossible"]
    others = change(params, train__batch_size=100)
    found = compare_studies(dict(read_records(others)), others)
    assert (found.questions, found.left_out) == ([], ["seeds", "other", "impossible"])


def _weigh(params: Params, study: Results) -> Evidence:
    metrics = SimpleNamespace(test_accuracy=0.98, accuracy_gap=0.01)
    inputs = SimpleNamespace(studies={"x": study}, metrics=dict.fromkeys(MODELS, metrics))
    return weigh(inputs, params.train.seed, params.report.equivalence_margin / 100)


def test_seeds_of_the_main_job(params: Params) -> None:
    """A study that changes nothing; a seed of which a model is missing is not compared."""
    found = _weigh(params, collect_made_up(params, lambda x: score(x) if x.seed < 2 else {}))
    assert (found.seeds, found.accuracies["gn"]) == ([0, 1], [0.98, 0.9799])
    assert found.gaps["ln"] == pytest.approx([0.01, 0.0101])
    assert len(found.by_accuracy) == len(found.by_gap) == 3
    assert found.others == []
    other = collect_made_up(params, lambda x: score(x) | {"test_accuracy": "0.9"})
    assert _weigh(params, other).others == list(MODELS)  # the run of that seed has 0.98


@pytest.mark.parametrize(("keys", "seeds"), [({}, 1), ({"set": {"train.epochs": 3}}, 3)])
def test_one_seed_or_another_recipe_is_one_run(
    keys: dict[str, object], seeds: int, params: Params
) -> None:
    study = collect_made_up(params, lambda x: score(x) if x.seed < seeds else {}, **keys)
    found = _weigh(params, study)
    assert (found.seeds, found.accuracies["bn"], found.by_accuracy, found.by_gap) == (
        *([], [0.98]),
        *([], []),
    )


def test_a_training_that_diverged_counts_as_guessing_everywhere(params: Params) -> None:
    """On clean and on shifted images; it leaves no seed and no model out."""

    def result(x: Planned) -> Row:
        return DIVERGED if (x.arm.model, x.seed) == ("gn", 1) else score(x)

    shifted = [
        SeededRow(**vars(case), accuracy=0.7, seed=x.seed, recipe=x.recipe.digest)
        for x in list_trainings(declare(), params)
        for case in list_cases(x.arm.model, params.shifts)
        if result(x) is not DIVERGED
    ]
    study = collect_made_up(params, result, shifted)
    found = _weigh(params, study)
    assert (found.seeds, found.accuracies["gn"]) == ([0, 1, 2], [0.98, CHANCE, 0.9798])
    study = collect_made_up(params, result, shifted, set={"train.epochs": 20}, shifts=True)
    (one,) = compare_studies({"x": study}, params).shifted
    assert one.shifts.num_seeds == 3
    of_gn = [share for case, share in one.shifts.accuracy.items() if case.model == "gn"]
    assert of_gn == pytest.approx([(0.7 + CHANCE + 0.7) / 3] * len(of_gn))


# Advice

SHARES = {"bn": 0.9, "gn": 0.95, "ln": 0.96, BATCH: 0.97}
BN_GN, BN_LN, GN_LN = ("bn", "gn"), ("bn", "ln"), ("gn", "ln")


def _compare(
    first: str,
    second: str,
    difference: float = 0,
    p: float = 1,
    equal: float = 1,
    shift: Shift = CLEAN,
    drop: float = 0,
) -> Comparison:
    shares = SHARES[first] - drop, SHARES[second] - drop
    interval = Interval(difference - 0.02, difference + 0.02)
    more = {"num_seeds": 5, "p_equivalence": equal, "shift": shift}
    more = {"num_seeds": 2, "p_equivalence": 1.0, "p_sign_flips": None} | more
    return Comparison(first, second, shares, difference, interval, p, **more)


WORSE = [_compare(*BN_GN, -0.05, 0.01), _compare(*BN_LN, -0.06, 0.0001), _compare(*GN_LN, -0.01)]
GN_WORSE = [_compare(*GN_LN, -0.01, 0.01)]
DARK = ("brightness", -0.3)


@pytest.mark.parametrize(
    ("comparisons", "best", "worse"),
    [
        (WORSE, ["gn", "ln"], WORSE[1:2]),
        # Not shown to be worse than any other, gn stays.
        ([_compare(*BN_GN), WORSE[1], _compare(*GN_LN)], ["gn", "ln"], WORSE[1:2]),
        ([_compare(*x, equal=0.01) for x in (BN_GN, BN_LN, GN_LN)], ["bn", "gn", "ln"], []),
        ([_compare(*BN_GN), _compare(*BN_LN, equal=0.01)], [], []),
        # Each is worse than the other at one of two severities.
        ([WORSE[1], _compare(*BN_LN, 0.03, 0.001)], [], [WORSE[1], None]),
        # With less than half right, bn is no choice, though it is not shown to be worse.
        ([_compare(*BN_GN, shift=DARK, drop=0.42), WORSE[2], *GN_WORSE], ["ln"], GN_WORSE),
    ],
)
def test_what_is_shown_to_be_worse_is_not_chosen(
    comparisons: list[Comparison], best: list[str], worse: list[Comparison | None]
) -> None:
    found = choose(comparisons)
    assert found.best == best
    assert len(found.worse) == len(worse)
    assert all(x in (None, y) for x, y in zip(worse, found.worse, strict=True))
    assert found.is_usable


def test_nothing_is_chosen_of_what_reads_less_than_half() -> None:
    """42 against 34 % under strong noise, though shown to differ, makes no choice."""
    strong = _compare(*BN_LN, -0.06, 0.001, shift=("noise", 0.5), drop=0.54)
    found = choose([strong])
    assert (found.best, found.worse, found.is_usable) == ([], [], False)
    assert found.useless == {("noise", 0.5): pytest.approx(0.42)}
    mild = _compare(*BN_GN, equal=0.01, shift=("noise", 0.1))
    found = choose([strong, mild])
    assert (found.best, found.is_usable) == (["bn", "gn"], True)


def _shifts(params: Params, comparisons: list[Comparison], num_seeds: int) -> Shifts:
    return Shifts(params.shifts, {}, {}, num_seeds, comparisons)


NOTHING = Evidence([], {}, {}, [], [], [])


def test_kinds_of_shifted_images_share_a_row(params: Params) -> None:
    """If the same is chosen for them; what is worse once is not chosen; none is no choice."""
    comparisons = [
        _compare(*BN_LN, -0.06, 0.0001, shift=("contrast", 0.5)),
        _compare(*BN_LN, shift=("contrast", 0.1)),
        _compare(*BN_LN, shift=("contrast", 2.0)),
        _compare(*BN_LN, -0.07, 0.0001, shift=("brightness", -0.1)),
        _compare(*BN_LN, -0.06, 0.0001, shift=("inversion", 1.0), drop=0.6),
        _compare(BATCH, "bn", 0.07, 0.002, shift=("contrast", 0.1)),
    ]
    studies = Studies([], [], [])
    rows = advise(NOTHING, _shifts(params, comparisons, 5), studies)
    assert [(x.kinds, x.choice.best, x.of_bn_alone) for x in rows] == [
        ((("contrast", True), ("brightness", True)), ["ln"], False),
        ((("contrast", False),), [], False),
        ((("inversion", False),), [], False),
        ((("contrast", True),), [BATCH], True),
    ]
    assert [x.choice.is_usable for x in rows] == [True, True, False, True]
    assert [x.shift for x in rows[0].choice.worse] == [("brightness", -0.1)]  # the largest
    # One run of each speaks of these networks alone; those of a study have its situations.
    one_run = _shifts(params, comparisons, 1)
    assert advise(NOTHING, one_run, studies) == []
    when = Situation(when="on Sundays, {}")
    study = declare(situations=[when])
    studies = Studies([], [ShiftedStudy(study, {"": _shifts(params, comparisons[:1], 2)}, [])], [])
    (row,) = advise(NOTHING, one_run, studies)
    assert (row.situation, row.study, row.section) == (when, "x", "study_x")


def test_a_reading_that_older_rows_lack(params: Params) -> None:
    """It is compared over the seeds that have it."""
    results = collect_made_up(
        params,
        lambda x: score(x) | ({"composed_accuracy": "0.5"} if x.seed < 2 else {}),
        readings="By which statistics?",
        seeds=3,
    )
    _, readings = ask(results, MARGIN)
    assert count_seeds(readings) == "2 to 3 seeds"
    composed = next(x for x in readings.comparisons if x.first == "bn-composed")
    assert composed.num_seeds == 2
    assert composed.accuracies == pytest.approx((0.5, 0.97995))  # 98.00 and 97.99 %


def test_situations_of_studies(params: Params) -> None:
    """One is answered by the comparisons at its place, and by those of controls."""
    accuracy = {"gn": "0.99", "ln": "0.99"}
    results = collect_made_up(
        params,
        lambda x: {"test_accuracy": accuracy.get(x.arm.model, f"0.9{x.seed}")},
        vary={"models.bn.l1": [0, 0.1]},
        situations=[Situation(when="l1 of {}", at=0.1)],
        matters=0.5,
    )
    seeds = _weigh(params, collect_made_up(params, score))
    studies = Studies(list(ask(results, MARGIN)), [], [])
    usual, of_l1 = advise(seeds, _shifts(params, [], 1), studies)
    assert (usual.study, usual.section) == ("seeds", "claims")
    # bn: 90, 91 and 92 %; the others 99 with each seed.
    assert (of_l1.choice.best, of_l1.section) == (["gn", "ln"], "study_x")
    assert of_l1.margin == pytest.approx(0.005)  # its study's own
    assert of_l1.choice.worse[0].accuracies == pytest.approx((0.91, 0.99))
