"""What the report judges and draws of shifted images, recomputed another way."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.offsetbox import AnnotationBbox
from scipy.stats import t, ttest_rel
from statsmodels.stats.multitest import multipletests

from stages.analysis.shifts import (
    BATCH,
    NEUTRAL,
    Shifts,
    compare_seeds_by_shift,
    find_enough,
)
from stages.core.dataset import Split
from stages.core.errors import PipelineError
from stages.core.params import MODELS, Params
from stages.evaluation.shifted_images import shift_images
from stages.evaluation.shifts import CLEAN, Case, SeededRow, list_cases
from stages.records.declaration import Study
from stages.records.plan import list_trainings
from stages.records.results import Cell, collect
from stages.records.shifted import path_of, read_shifted
from stages.reporting.figures.shifts import draw_shifts
from stages.reporting.figures.style import COLOURS
from stages.reporting.words import SHIFTS
from tests.conftest import change

TOTAL = 1000
# Images that are wrong, of 1000, by reading, batch size, shift and severity.
WRONG = {
    ("none", 0.0): {"bn": 10, "gn": 12, "ln": 11, (100): 9, (1): 900, (8): 15},
    ("contrast", 0.5): {"bn": 300, "gn": 20, "ln": 25, (100): 40},
    ("contrast", 0.1): {"bn": 880, "gn": 30, "ln": 60, (100): 50, (1): 910, (8): 70},
    ("rotation", 45.0): {"bn": 150, "gn": 155, "ln": 152, (100): 260},
    ("inversion", 1.0): {"bn": 700, "gn": 400, "ln": 650, (100): 500},
}
STUDY = Study(name="x", question="?", models=list(MODELS), seeds=9, shifts=True)


@pytest.fixture
def shifted(params: Params) -> Params:
    changes = {"contrast": [0.5, 0.1], "rotation": [45.0], "inversion": True}
    changes |= {"test_batch": 100, "test_batches": [1, 8]}
    return change(params, **{f"shifts__{key}": value for key, value in changes.items()})


def _wrong(case: Case) -> int:
    of_set = WRONG[case.shift, case.severity]
    return of_set[case.reading if case.batch_size is None else case.batch_size]


@pytest.fixture
def one_run(shifted: Params) -> Shifts:
    cases = [case for model in MODELS for case in list_cases(model, shifted.shifts)]
    return Shifts(shifted.shifts, {x: (TOTAL - _wrong(x)) / TOTAL for x in cases}, {}, 1, [])


def test_images_needed_in_the_test_batch(one_run: Shifts) -> None:
    """Said of each set of images for itself: what is enough on clean ones need not be on others."""
    assert one_run.by_size == {
        CLEAN: {1: 0.1, 8: 0.985, 100: 0.991},
        ("contrast", 0.1): {1: 0.09, 8: 0.93, 100: 0.95},
    }
    assert {shift: find_enough(x) for shift, x in one_run.by_size.items()} == {
        CLEAN: 8,
        ("contrast", 0.1): 100,
    }
    assert find_enough({1: 0.99, 2: 0.9, 4: 0.991}) == 4


def _cells(
    params: Params, seeds: int, without: int = 0, recipe: str | None = None
) -> dict[str, Cell]:
    """What each seed gets right: more wrong by the square of the seed, for gn by less."""
    rows = [
        SeededRow(
            **vars(case),
            accuracy=1 - (_wrong(case) + x.seed**2 * (1 if case.model == "gn" else 3)) / TOTAL,
            seed=x.seed,
            recipe=recipe or x.recipe.digest,
        )
        for x in list_trainings(STUDY.model_copy(update={"seeds": seeds}), params)
        for case in list_cases(x.arm.model, params.shifts)[without * (x.seed == 0) :]
    ]
    return {model: cell for model, (cell,) in collect(STUDY, params, [], rows).cells.items()}


def test_several_seeds_are_paired(shifted: Params) -> None:
    found = compare_seeds_by_shift(shifted, {"": _cells(shifted, 5)})[""]
    assert found.num_seeds == 5
    (contrast,) = [x for x in found.largest if x.shift[0] == "contrast"]
    squares = np.arange(5) ** 2
    gn, bn = 970 - squares, 120 - 3 * squares
    difference = (bn - gn) / TOTAL
    assert contrast.difference == pytest.approx(difference.mean())
    assert contrast.accuracies == pytest.approx((bn.mean() / TOTAL, gn.mean() / TOTAL))
    # Of 16 pairs, only the four of bn and gn and the four of gn and ln differ in their spread.
    family = [1.0] * 8
    for shift in WRONG.values():
        if shift != WRONG["none", 0.0]:
            lines = {m: 1 - (shift[m] + squares * (1 if m == "gn" else 3)) / TOTAL for m in MODELS}
            family += [ttest_rel(lines[m], lines["gn"]).pvalue for m in ("bn", "ln")]
    corrected = multipletests(family, method="holm")[1]
    assert contrast.p_value == pytest.approx(corrected[8:].min(), rel=1e-3)
    reach = t.ppf(1 - 0.05 / 16 / 2, 4) * difference.std(ddof=1) / 5**0.5
    assert contrast.interval.low == pytest.approx(difference.mean() - reach)
    (axes,) = [x for x in draw_shifts({"": found}).axes if x.get_title(loc="left") == "Contrast"]
    dots = [sorted(line.get_ydata()) for line in axes.lines if line.get_marker() == "."]
    assert any(y == pytest.approx(sorted(100 * bn / TOTAL)) for y in dots)


@pytest.mark.parametrize(
    "cells", [{"seeds": 1}, {"seeds": 3, "recipe": "rold"}, {"seeds": 2, "without": 1}]
)
def test_too_few_or_other_seeds_are_not_taken(cells: dict[str, object], shifted: Params) -> None:
    """Nor networks that were not scored on all shifts that params.yaml now lists."""
    assert not compare_seeds_by_shift(shifted, {"": _cells(shifted, **cells)})
    more = change(shifted, shifts__rotation=[45.0, 60.0])
    assert not compare_seeds_by_shift(more, {"": _cells(shifted, 4)})


def test_a_damaged_record_of_shifts_gets_one_line(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        path_of(STUDY).parent.mkdir(parents=True)
        path_of(STUDY).write_text("model,reading,batch_size,shift,severity,precision\n,,,,,\n")
        with pytest.raises(PipelineError, match=r"x\.shifts\.csv is not a table .*git checkout"):
            read_shifted(STUDY)


def test_figure_of_the_shifts(one_run: Shifts) -> None:
    panels = {axes.get_title(loc="left"): axes for axes in draw_shifts({"": one_run}).axes}
    assert set(panels) == {"Contrast", "Rotation", "Inversion", ""}
    for shift in ("contrast", "rotation", "inversion"):
        bn, gn, ln, by_batch = panels[shift.capitalize()].lines
        for line, reading in ((bn, "bn"), (gn, "gn"), (ln, "ln"), (by_batch, 100)):
            wrong = {NEUTRAL.get(shift, 0): WRONG["none", 0.0][reading]}
            wrong |= {s: of[reading] for (one, s), of in WRONG.items() if one == shift}
            expected = {severity: 100 - count / 10 for severity, count in wrong.items()}
            assert dict(zip(*line.get_data(), strict=True)) == pytest.approx(expected)
        assert [to_hex(x.get_color()).upper() for x in (bn, gn, ln)] == list(COLOURS.values())[:3]
        assert to_hex(by_batch.get_color()) == to_hex(bn.get_color())
        assert (bn.get_linestyle(), by_batch.get_linestyle()) == ("-", "--")
    assert panels["Contrast"].xaxis_inverted()
    assert not panels["Rotation"].xaxis_inverted()
    labels = [text.get_text() for text in panels[""].get_legend().get_texts()]
    assert [label.partition(":")[0] for label in labels] == ["bn", "gn", "ln", BATCH]


def test_images_under_the_axes(one_run: Shifts, test_split: Split) -> None:
    image = test_split.images[:1]
    figure = draw_shifts({"": one_run}, image=image)
    for axes in figure.axes[:3]:
        shift = axes.get_title(loc="left").lower()
        shown = {x.xy[0]: x.offsetbox.get_data() for x in axes.findobj(AnnotationBbox)}
        neutral = NEUTRAL.get(shift, 0)
        assert {neutral} < set(shown)
        for severity, seen in shown.items():
            kind = "none" if severity == neutral else shift
            expected = shift_images(image, kind, severity)[0, 0].numpy()
            np.testing.assert_array_equal(seen[..., 0], expected)


def test_figures_of_few_shifts(params: Params) -> None:
    """One shift, and no other size of the test batch than that of all shifts."""
    few = change(params, shifts__contrast=[], shifts__inversion=True, shifts__test_batches=[])
    cases = [case for model in MODELS for case in list_cases(model, few.shifts)]
    found = Shifts(few.shifts, dict.fromkeys(cases, 0.5), {}, 1, [])
    assert found.by_size == {}
    assert len(draw_shifts({"": found}).axes) == 2


def test_every_shift_has_its_words(params: Params) -> None:
    assert set(SHIFTS) == set(params.shifts.model_dump()) - {"test_batch", "test_batches"}
