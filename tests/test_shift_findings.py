"""What the report says and draws of shifted images, recomputed another way."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from scipy.stats import binomtest, t, ttest_rel
from statsmodels.stats.multitest import multipletests

from stages.core.errors import PipelineError
from stages.core.params import MODELS, Params
from stages.core.recipe import Recipe
from stages.evaluation.shifts import Case, list_cases
from stages.records.declaration import read_studies
from stages.records.plan import list_trainings
from stages.records.record import write_rows
from stages.records.shifted import path_of
from stages.reporting import shifts
from stages.reporting.figures.shifts import draw_shifts, draw_test_batch
from stages.reporting.figures.style import COLOURS
from stages.reporting.inference import matched_interval
from stages.reporting.shifts import Effect, ShiftFindings, find_shifts
from stages.reporting.studies import read_study_findings
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
PAIRS = ("bn", "gn"), ("bn", "ln"), ("gn", "ln"), ("bn-batch", "bn")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shifted(params: Params) -> Params:
    changes = {"contrast": [0.5, 0.1], "rotation": [45.0], "inversion": True}
    changes |= {"test_batch": 100, "test_batches": [1, 8]}
    return change(params, **{f"shifts__{key}": value for key, value in changes.items()})


def _wrong(case: Case) -> int:
    of_set = WRONG[case.shift, case.severity]
    return of_set[case.reading if case.batch_size is None else case.batch_size]


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.arange(TOTAL).remainder(10).to(torch.uint8)


@pytest.fixture
def predicted(shifted: Params, labels: torch.Tensor) -> dict[Case, torch.Tensor]:
    """Each case with other images wrong: drawn, but as many as WRONG says."""
    found = {}
    for number, case in enumerate(x for m in MODELS for x in list_cases(m, shifted.shifts)):
        order = torch.randperm(TOTAL, generator=torch.Generator().manual_seed(number))
        digits = labels.clone()
        digits[order[: _wrong(case)]] = (digits[order[: _wrong(case)]] + 1) % 10
        found[case] = digits
    return found


@pytest.fixture
def one_run(
    shifted: Params, predicted: dict[Case, torch.Tensor], labels: torch.Tensor
) -> ShiftFindings:
    return find_shifts(shifted, predicted, labels, list(MODELS))


def _by_hand(
    predicted: dict[Case, torch.Tensor], labels: torch.Tensor
) -> dict[tuple[str, float, str, str], tuple[float, float]]:
    """Difference and corrected p-value by shift, severity and readings, by scipy."""
    right = {
        (case.shift, case.severity, case.reading): (digits == labels).numpy()
        for case, digits in predicted.items()
        if case.batch_size in (None, 100)
    }
    found = {}
    for shift, severity in WRONG:
        if shift != "none":
            for first, second in PAIRS:
                a, b = right[shift, severity, first], right[shift, severity, second]
                alone = int((a & ~b).sum()), int((b & ~a).sum())
                p = binomtest(alone[0], sum(alone)).pvalue
                found[shift, severity, first, second] = (a.mean() - b.mean(), p)
    corrected = multipletests([p for _, p in found.values()], method="holm")[1]
    return {
        key: (difference, p)
        for (key, (difference, _)), p in zip(found.items(), corrected, strict=True)
    }


def _check(effect: Effect, hand: dict[tuple[str, float, str, str], tuple[float, float]]) -> None:
    x = effect.comparison
    difference, p = hand[effect.shift, effect.severity, x.first, x.second]
    assert x.difference == pytest.approx(difference)
    assert x.p_value == pytest.approx(p, rel=1e-6)
    assert x.interval.low < difference < x.interval.high


def test_one_run_is_compared_by_images(
    one_run: ShiftFindings, predicted: dict[Case, torch.Tensor], labels: torch.Tensor
) -> None:
    hand = _by_hand(predicted, labels)
    assert one_run.num_seeds == 1
    assert one_run.num_tests == len(hand) == 16
    for effect in (*one_run.effects, one_run.gain, one_run.loss):
        _check(effect, hand)
    largest = {
        shift: max(abs(hand[key][0]) for key in hand if key[0] == shift and key[2] != "bn-batch")
        for shift in ("contrast", "rotation", "inversion")
    }
    assert [effect.shift for effect in one_run.effects] == ["contrast", "inversion", "rotation"]
    for effect in one_run.effects:
        assert abs(effect.comparison.difference) == pytest.approx(largest[effect.shift])


def test_sentences_say_the_numbers(one_run: ShiftFindings) -> None:
    contrast, inversion, rotation = one_run.effects
    assert contrast.subject == "Contrast x 0.1"
    assert contrast.text.startswith("gn 97.0 %, bn 12.0 %: 85.0 points (95 % interval 8")
    assert contrast.text.endswith(", p < 0.001)")
    assert one_run.exception.endswith(f", most of all with contrast x 0.1: {contrast.text}.")
    assert inversion.subject == "Inversion"
    assert inversion.text.startswith("gn 60.0 %, bn 30.0 %: 30.0 points (95 % interval 2")
    assert rotation.subject == "Rotation by 45°"
    assert rotation.text.startswith("bn 85.0 %, gn 84.5 %: no difference shown (0.5 points, 95 %")
    assert "interval -" in rotation.text
    assert one_run.gain.place == "contrast x 0.1"
    assert one_run.gain.text.startswith("bn-batch 95.0 %, bn 12.0 %: 83.0 points")
    assert one_run.loss.place == "rotation by 45°"
    assert one_run.loss.text.startswith("bn 85.0 %, bn-batch 74.0 %: 11.0 points")
    assert one_run.of_batches == (
        "On clean images bn-batch gets 10.0 % with 1 image at a time, 98.5 % with 8, 99.1 % with "
        "100; from 8 on it stays within 1 point of the 99.0 % with running averages."
    )


def test_a_model_that_did_not_learn_is_left_out(
    shifted: Params, predicted: dict[Case, torch.Tensor], labels: torch.Tensor
) -> None:
    found = find_shifts(shifted, predicted, labels, ["gn", "ln"])
    assert {(x.comparison.first, x.comparison.second) for x in found.effects} == {("gn", "ln")}
    assert (found.gain, found.loss, found.of_batches) == (None, None, "")
    assert find_shifts(shifted, predicted, labels, []).effects == []


def _record_seeds(params: Params, seeds: int, recipe: str = "", without: int = 0) -> None:
    """Write what each seed gets right: more wrong by the square of the seed, for gn by less."""
    lines = []
    for model in MODELS:
        digest = recipe or Recipe.of(model, params).digest
        for seed in range(seeds):
            cases = list_cases(model, params.shifts)
            for case in cases[without * (seed == 0) :]:
                wrong = _wrong(case) + seed**2 * (1 if model == "gn" else 3)
                accuracy = max(0.0, 1 - wrong / TOTAL)
                line = {
                    "seed": seed,
                    "recipe": digest,
                    **vars(case),
                    "accuracy": round(accuracy, 6),
                }
                lines.append(line)
    shifts.SEEDS_PATH.parent.mkdir(parents=True, exist_ok=True)
    with shifts.SEEDS_PATH.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)


def test_several_seeds_are_paired(
    shifted: Params, predicted: dict[Case, torch.Tensor], labels: torch.Tensor
) -> None:
    _record_seeds(shifted, 5)
    found = find_shifts(shifted, predicted, labels, list(MODELS))
    assert found.num_seeds == 5
    (contrast,) = [x for x in found.effects if x.shift == "contrast"]
    squares = np.arange(5) ** 2
    gn, bn = 970 - squares, 120 - 3 * squares
    difference = (bn - gn) / TOTAL
    assert contrast.comparison.difference == pytest.approx(difference.mean())
    # Of 16 pairs, only the four of bn and gn and the four of gn and ln differ in their spread.
    family = [1.0] * 8
    for shift in WRONG.values():
        if shift != WRONG["none", 0.0]:
            lines = {m: 1 - (shift[m] + squares * (1 if m == "gn" else 3)) / TOTAL for m in MODELS}
            family += [ttest_rel(lines[m], lines["gn"]).pvalue for m in ("bn", "ln")]
    corrected = multipletests(family, method="holm")[1]
    assert contrast.comparison.p_value == pytest.approx(corrected[8:].min(), rel=1e-3)
    reach = t.ppf(1 - 0.05 / 16 / 2, 4) * difference.std(ddof=1) / 5**0.5
    assert contrast.comparison.interval.low == pytest.approx(difference.mean() - reach)
    assert contrast.text.startswith(f"gn {gn.mean() / 10:.1f} %, bn {bn.mean() / 10:.1f} %: ")
    ends = t.interval(0.95, 4, loc=bn.mean() / 10, scale=bn.std(ddof=1) / 10 / 5**0.5)
    (axes,) = [x for x in draw_shifts(found).axes if x.get_title(loc="left") == "Contrast"]
    bars = [bar.get_segments()[0] for bar in axes.collections]
    assert any(bar.ravel().tolist() == pytest.approx([0.1, ends[0], 0.1, ends[1]]) for bar in bars)


@pytest.mark.parametrize(
    ("seeds", "recipe", "without"), [(1, "", 0), (3, "0123abcd", 0), (2, "", 1)]
)
def test_too_few_or_other_seeds_are_not_taken(
    seeds: int,
    recipe: str,
    without: int,
    shifted: Params,
    predicted: dict[Case, torch.Tensor],
    labels: torch.Tensor,
) -> None:
    _record_seeds(shifted, seeds, recipe, without)
    assert find_shifts(shifted, predicted, labels, list(MODELS)).num_seeds == 1


def test_a_damaged_record_of_seeds_gets_one_line(
    shifted: Params, predicted: dict[Case, torch.Tensor], labels: torch.Tensor
) -> None:
    _record_seeds(shifted, 2)
    text = shifts.SEEDS_PATH.read_text()
    shifts.SEEDS_PATH.write_text(text.replace("accuracy", "precision"))
    with pytest.raises(PipelineError, match=r"seeds\.shifts\.csv is not a table .*or remove it"):
        find_shifts(shifted, predicted, labels, list(MODELS))


def test_a_study_of_shifted_images(
    shifted: Params, predicted: dict[Case, torch.Tensor], labels: torch.Tensor
) -> None:
    """It finds what the seeds of the main job would, had they been trained as the study says."""
    others = change(shifted, train__epochs=shifted.train.epochs + 1)
    _record_seeds(others, 4)
    expected = find_shifts(others, predicted, labels, list(MODELS))
    Path("studies.yaml").write_text(
        "studies: {x: {question: '?', models: [bn, gn, ln], seeds: 4, shifts: true, "
        f"set: {{train.epochs: {others.train.epochs}}}}}}}".replace("'", '"')
    )
    study = read_studies()["x"]
    trained = [
        x.row | {"recipe": x.recipe.digest, "test_accuracy": "0.9"}
        for x in list_trainings(study, shifted)
    ]
    write_rows(study.record, trained)
    shifts.SEEDS_PATH.rename(path_of(study))
    found = read_study_findings(shifted)
    assert [(one.study, one.shifts) for one in found.shifted] == [(study, expected)]
    assert expected.num_seeds == 4
    assert found.questions == []
    # Networks that were not scored on all that params.yaml now lists say nothing.
    more = change(shifted, shifts__rotation=[45.0, 60.0])
    assert read_study_findings(more).shifted == []


def test_matched_interval_covers_and_is_wald_for_many() -> None:
    """By draws: of 1,000 samples of 200 images, about 95 % of the intervals hold the truth."""
    generator = np.random.default_rng(0)
    shares = [0.1, 0.02, 0.88]
    samples = generator.multinomial(200, shares, size=1000)
    covered = [
        (x := matched_interval(int(a), int(b), 200, 1)).low <= 0.08 <= x.high for a, b, _ in samples
    ]
    assert 0.93 < np.mean(covered) < 0.98
    many = matched_interval(30_000, 10_000, 1_000_000, 1)
    reach = 1.959964 * ((0.04 - 0.02**2) / 1_000_000) ** 0.5
    assert (many.low, many.high) == pytest.approx((0.02 - reach, 0.02 + reach), abs=1e-6)
    assert matched_interval(5, 5, 100, 1).low == -matched_interval(5, 5, 100, 1).high
    strict = matched_interval(30, 10, 1000, 20)
    assert strict.low < matched_interval(30, 10, 1000, 1).low
    assert matched_interval(3, 0, 3, 1).high == 1


def test_figure_of_the_shifts(one_run: ShiftFindings) -> None:
    figure = draw_shifts(one_run)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert set(panels) == {"Contrast", "Rotation", "Inversion", ""}
    for shift in ("contrast", "rotation", "inversion"):
        axes = panels[shift.capitalize()]
        bn, gn, ln, by_batch = axes.lines
        for line, reading in ((bn, "bn"), (gn, "gn"), (ln, "ln"), (by_batch, 100)):
            wrong = {SHIFTS[shift].none: WRONG["none", 0.0][reading]}
            wrong |= {s: of[reading] for (one, s), of in WRONG.items() if one == shift}
            expected = {severity: 100 - count / 10 for severity, count in wrong.items()}
            found = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
            assert found == pytest.approx(expected)
        assert [to_hex(x.get_color()).upper() for x in (bn, gn, ln)] == list(COLOURS.values())[:3]
        assert to_hex(by_batch.get_color()) == to_hex(bn.get_color())
        assert (bn.get_linestyle(), by_batch.get_linestyle()) == ("-", "--")
    assert panels["Contrast"].xaxis_inverted()
    assert not panels["Rotation"].xaxis_inverted()
    assert panels["Rotation"].get_xlabel() == "degrees"
    labels = [text.get_text() for text in panels[""].get_legend().get_texts()]
    assert labels == ["bn, running statistics", "gn", "ln", "bn, statistics of\nthe test batch"]


def test_figure_of_the_test_batch(one_run: ShiftFindings) -> None:
    clean, contrast = draw_test_batch(one_run).axes
    assert clean.get_title(loc="left") == "Clean images"
    assert contrast.get_title(loc="left") == "Contrast x 0.1"
    assert clean.get_xscale() == "log"
    for axes, one in ((clean, ("none", 0.0)), (contrast, ("contrast", 0.1))):
        *levels, by_size = axes.lines
        assert [line.get_ydata()[0] for line in levels] == pytest.approx(
            [100 - WRONG[one][model] / 10 for model in MODELS]
        )
        expected = {size: 100 - WRONG[one][size] / 10 for size in (1, 8, 100)}
        found = dict(zip(by_size.get_xdata(), by_size.get_ydata(), strict=True))
        assert found == pytest.approx(expected)
        assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "8", "100"]


def test_figures_of_few_shifts(params: Params, labels: torch.Tensor) -> None:
    """One shift, and no other size of the test batch than that of all shifts."""
    few = change(params, shifts__contrast=[], shifts__inversion=True, shifts__test_batches=[])
    cases = [case for model in MODELS for case in list_cases(model, few.shifts)]
    found = find_shifts(few, dict.fromkeys(cases, labels), labels, list(MODELS))
    assert found.of_batches == ""
    assert [x.text for x in found.effects] != []
    assert len(draw_shifts(found).axes) == 2


def test_every_shift_has_its_words(one_run: ShiftFindings, params: Params) -> None:
    named = set(params.shifts.model_dump()) - {"test_batch", "test_batches"}
    assert set(SHIFTS) == named
    assert [text.partition(":")[0].partition(",")[0] for text in one_run.definitions] == [
        "Contrast",
        "Rotation",
        "Inversion",
    ]
