"""Which normalization is recommended in which situation, by comparisons made by hand."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from stages.core.params import Params
from stages.records.declaration import Situation, Study
from stages.records.plan import list_trainings
from stages.records.results import collect
from stages.reporting.advice import Advice, Contest, advise, choose
from stages.reporting.evidence import Comparison, Evidence
from stages.reporting.inference import Interval
from stages.reporting.shifts import Effect, ShiftFindings
from stages.reporting.studies import ShiftedStudy, Studies, ask

MARGIN = 0.001
SHARES = {"bn": 0.9, "gn": 0.95, "ln": 0.96}
CLEAN = Evidence("images", "", {}, {}, [], [])
FROM_BN_TO_LN = "ln 96.00 %, bn 90.00 %: 6.00 points (4.00 to 8.00, p < 0.001)"
FROM_LN_TO_BN = "bn 90.00 %, ln 96.00 %: 3.00 points (1.00 to 5.00, p = 0.001)"


def _compare(
    first: str, second: str, difference: float = 0, p: float = 1, equal: float = 1
) -> Comparison:
    interval = Interval(difference - 0.02, difference + 0.02)
    return Comparison(first, second, difference, interval, p, None, p_equivalence=equal)


def _contests(*comparisons: Comparison) -> list[Contest]:
    return [Contest(x, SHARES) for x in comparisons]


BN_GN, BN_LN, GN_LN = ("bn", "gn"), ("bn", "ln"), ("gn", "ln")
WORSE = [_compare(*BN_GN, -0.05, 0.01), _compare(*BN_LN, -0.06, 0.0001), _compare(*GN_LN, -0.01)]


@pytest.mark.parametrize(
    ("comparisons", "diverged", "best", "support"),
    [
        (WORSE, [], ["gn", "ln"], FROM_BN_TO_LN),
        (WORSE, ["gn"], ["ln"], FROM_BN_TO_LN),
        # Not shown to be worse than any other, gn stays.
        ([_compare(*BN_GN), WORSE[1], _compare(*GN_LN)], [], ["gn", "ln"], FROM_BN_TO_LN),
        ([_compare(*x, equal=0.01) for x in (BN_GN, BN_LN, GN_LN)], [], ["bn", "gn", "ln"], None),
        ([_compare(*BN_GN), _compare(*BN_LN, equal=0.01)], [], [], "no difference is shown"),
        ([], ["bn", "gn"], [], "all diverged with every seed"),
        # Each is worse than the other at one of two severities.
        ([WORSE[1], _compare(*BN_LN, 0.03, 0.001)], [], [], f"{FROM_BN_TO_LN}; {FROM_LN_TO_BN}"),
    ],
)
def test_what_is_shown_to_be_worse_is_not_chosen(
    comparisons: Sequence[Comparison], diverged: list[str], best: list[str], support: str | None
) -> None:
    support = support or "equal within 0.1 points"
    assert choose(_contests(*comparisons), MARGIN, diverged) == (best, support)


def _shifts(params: Params, effects: list[Effect], num_seeds: int) -> ShiftFindings:
    return ShiftFindings(
        params=params.shifts,
        accuracy={},
        intervals={},
        num_seeds=num_seeds,
        num_tests=len(effects),
        compared=effects,
        effects=effects,
        gain=None,
        loss=None,
        of_batches="",
        enough=8,
    )


def _effect(shift: str, severity: float, comparison: Comparison) -> Effect:
    accuracy = SHARES | {"bn-batch": 0.97}
    return Effect(shift, severity, accuracy, comparison)


def _rows(advice: list[Advice]) -> list[tuple[str, str, str]]:
    return [(x.situation, x.take, x.support) for x in advice]


def test_shifted_images(params: Params) -> None:
    """Kinds of which the same is chosen share a row; what is worse once is not chosen."""
    effects = [
        _effect("contrast", 0.5, WORSE[1]),
        _effect("contrast", 0.1, _compare(*BN_LN)),
        _effect("contrast", 2.0, _compare(*BN_LN)),
        _effect("brightness", -0.1, WORSE[1]),
        _effect("contrast", 0.1, _compare("bn-batch", "bn", 0.07, 0.002)),
    ]
    nothing = Studies([], [], [])
    assert _rows(advise(CLEAN, _shifts(params, effects, 5), nothing, MARGIN)) == [
        (
            "my test images are of lower contrast or darker",
            "ln",
            f"contrast x 0.5: {FROM_BN_TO_LN}; brightness -0.1: {FROM_BN_TO_LN}",
        ),
        ("my test images are of higher contrast", "not settled", "no difference is shown"),
        (
            "bn is trained already, and my test images are of lower contrast",
            "bn with the statistics of the test batch, of 8 images or more",
            "contrast x 0.1: bn-batch 97.00 %, bn 90.00 %: 7.00 points (5.00 to 9.00, p = 0.002)",
        ),
    ]
    # One run of each speaks of these networks alone.
    assert advise(CLEAN, _shifts(params, effects, 1), nothing, MARGIN) == []


def test_shifted_images_of_a_study(params: Params) -> None:
    """As those of the main job, in the situations that the study declares."""
    when = Situation(when="on Sundays, {}")
    study = Study(name="x", question="?", models=["bn", "ln"], seeds=2, situations=[when])
    effects = [_effect("blur", 1, WORSE[1])]
    studies = Studies([], [ShiftedStudy(study, _shifts(params, effects, 2))], [])
    (found,) = advise(CLEAN, _shifts(params, effects, 1), studies, MARGIN)
    assert found == Advice(
        "on Sundays, my test images are blurred",
        "ln",
        f"blur of 1 pixels: {FROM_BN_TO_LN}",
        "x",
        "study_x",
    )


def test_studies_and_seeds(params: Params) -> None:
    """A situation is answered by the comparisons at its place, and by those of controls."""
    study = Study(
        name="x",
        question="?",
        models=["bn", "gn", "ln"],
        seeds=3,
        vary={"models.bn.l1": [0, 0.1]},
        situations=[Situation(when="l1 of {}", at=0.1)],
    )
    accuracy = {"gn": "0.99", "ln": "0.99"}
    rows = [
        x.row
        | {"recipe": x.recipe.digest}
        | {"test_accuracy": accuracy.get(x.arm.model, f"0.9{x.seed}")}
        for x in list_trainings(study, params)
    ]
    studies = Studies(list(ask(collect(study, params, rows), MARGIN)), [], [])
    evidence = replace(
        CLEAN,
        test_accuracy=SHARES,
        by_accuracy=[_compare(*x, equal=0.01) for x in (BN_GN, BN_LN, GN_LN)],
        margin=MARGIN,
        num_seeds=5,
    )
    usual, of_l1 = advise(evidence, _shifts(params, [], 1), studies, MARGIN)
    assert (usual.situation, usual.take) == ("everything is as in params.yaml", "bn, gn or ln")
    # bn: 90, 91 and 92 %; the others 99 with each seed.
    assert (of_l1.situation, of_l1.take, of_l1.study) == ("l1 of 0.1", "gn or ln", "x")
    assert of_l1.support.startswith("gn 99.00 %, bn 91.00 %: 8.00 points (")
