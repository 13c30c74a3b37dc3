"""A study with shifts and something that varies: a question, and shifted accuracies by arm."""

from dataclasses import replace
from typing import Any

import pytest

from stages.analysis.advice import advise
from stages.analysis.evidence import Evidence
from stages.analysis.studies import Studies, compare_studies
from stages.core.params import Params
from stages.evaluation.shifts import CLEAN, Case, SeededRow, list_cases
from stages.records.plan import Planned, list_trainings
from stages.reporting.figures.shifts import draw_shifts
from stages.reporting.sentences import list_shifts, tell_of_sizes
from stages.reporting.tables import tabulate_shifts
from tests.conftest import change
from tests.made_up import collect_made_up, declare, score

VARY = {"models.bn.l1": [0, 0.05, 0.1]}
FAINT = "contrast", 0.1


def _read(x: Planned, case: Case) -> float:
    """97 % less a tenth of a percent a seed; faint, bn loses 40 points, and as many less as L1."""
    is_lost = (case.reading, case.severity) == ("bn", 0.1)
    lost = 0.4 + (x.seed - 1) / 1000 - x.recipe.own.l1 * (1 + (x.seed - 1) / 100)
    return round(0.97 - x.seed / 1000 - lost * is_lost, 6)


@pytest.fixture
def studies(params: Params) -> Studies:
    params = change(params, shifts__contrast=[0.5, 0.1], shifts__inversion=False)
    return _study(params, {"vary": VARY, "shifts": True})


def _study(params: Params, keys: dict[str, Any]) -> Studies:
    shifted = [
        SeededRow(**vars(case), accuracy=_read(x, case), seed=x.seed, recipe=x.recipe.digest)
        for x in list_trainings(declare(**keys), params)
        for case in list_cases(x.arm.model, params.shifts)
    ]
    results = collect_made_up(params, lambda _: {"test_accuracy": "0.97"}, shifted, **keys)
    return compare_studies({"x": results}, params)


def test_each_arm_is_compared_on_shifted_images(studies: Studies) -> None:
    (one,) = studies.shifted
    assert list(one.arms) == ["0", "0.05", "0.1"]
    # At two severities: bn with gn, with ln and with bn-batch at three places; gn and ln once.
    assert len(one.shifts.comparisons) == 2 * (3 * 3 + 1)
    difference = {
        (x.first, x.second, *x.shift, x.place): x.difference for x in one.shifts.comparisons
    }
    for place, l1 in zip(one.arms, VARY["models.bn.l1"], strict=True):
        assert difference["bn", "gn", *FAINT, place] == pytest.approx(l1 - 0.4)
        assert difference["bn-batch", "bn", *FAINT, place] == pytest.approx(0.4 - l1)
        bn = one.arms[place].accuracy[Case("bn", "bn", None, *FAINT)]
        assert bn == pytest.approx(0.969 - 0.4 + l1)
        assert len(one.arms[place].comparisons) == 2 * 4
    assert difference["gn", "ln", *FAINT, ""] == 0
    assert one.arms["0.1"].accuracy[Case("gn", "gn", None, *CLEAN)] == pytest.approx(0.969)


def test_what_is_told_and_drawn_of_arms(studies: Studies) -> None:
    (one,) = studies.shifted
    assert one.name != studies.questions[0].name
    ((subject, _),) = list_shifts(one.shifts)
    assert subject == "Contrast \N{MULTIPLICATION SIGN} 0.1, at 0"
    assert tell_of_sizes(one.shifts) == ""  # which are of each arm
    header, rows = tabulate_shifts(one)
    assert header == ["%", "clean", "contrast \N{MULTIPLICATION SIGN} 0.1"]
    assert ["bn (0.05)", "96.9", "61.9"] in rows
    assert [row[0] for row in rows].count("gn") == 1
    contrast, legend = draw_shifts(one.arms, one.controls).axes
    assert [line.get_ydata()[0] for line in contrast.lines] == pytest.approx(
        [56.9, 61.9, 66.9, 96.9, 96.9]
    )
    labels = [text.get_text() for text in legend.get_legend().get_texts()]
    assert labels == ["bn (0)", "bn (0.05)", "bn (0.1)", "gn", "ln"]


def test_arms_are_no_ground_for_advice_on_shifts(studies: Studies) -> None:
    nothing = Evidence([], {}, {}, [], [], [])
    main = next(iter(studies.shifted[0].arms.values()))
    rows = advise(nothing, main, studies)
    assert {row.study for row in rows} == {"seeds"}


def test_values_are_compared_and_advised_on(params: Params) -> None:
    """Faint, bn with L1 of 0.1 reads 10 points more than without: the better choice."""
    params = change(params, shifts__contrast=[0.5, 0.1], shifts__inversion=False)
    keys = {"vary": VARY, "shifts": True, "compare": "values"}
    keys |= {"situations": [{"when": "I take bn, and {}"}]}
    (one,) = (studies := _study(params, keys)).shifted
    assert {(x.first, x.second, x.of) for x in one.shifts.comparisons} == {
        ("0.05", "0", "bn"),
        ("0.1", "0", "bn"),
    }
    difference = {(x.first, *x.shift): x.difference for x in one.shifts.comparisons}
    assert len(difference) == 2 * 2
    assert difference["0.05", *FAINT] == pytest.approx(0.05)
    assert difference["0.1", *FAINT] == pytest.approx(0.1)
    assert list_shifts(one.shifts)[0][1].startswith("bn (0.1) 66.9 %, bn (0) 56.9 %, 10")
    main = replace(one.shifts, comparisons=[])
    (row,) = advise(Evidence([], {}, {}, [], [], []), main, studies)
    assert (row.study, row.at_stake) == ("x", pytest.approx(0.1))
    assert "0" not in row.choice.best


def test_a_question_of_all_trainings_alike(params: Params) -> None:
    """Without shifts recorded yet, the question is asked all the same."""
    results = collect_made_up(params, score, vary=VARY, shifts=True)
    found = compare_studies({"x": results}, params)
    assert (len(found.questions), found.shifted) == (1, [])
