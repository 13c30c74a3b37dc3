"""Interventions on record: what is tried, what is computed once, and what the numbers show."""

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from matplotlib.colors import to_hex
from scipy.stats import bootstrap, ttest_rel
from statsmodels.stats.multitest import multipletests

from stages.analysis.causes import Causes, find_causes
from stages.core.errors import PipelineError
from stages.core.params import MODELS, Params, load_params
from stages.core.recipe import Recipe
from stages.evaluation.shifts import Case as ShiftCase
from stages.evaluation.shifts import score_shifts
from stages.model.network import network_for
from stages.preparation.splitting import prepare
from stages.records.causes import (
    CONTRAST,
    NOISE,
    PATH,
    SHIFTS,
    Row,
    case_of,
    list_cases,
    read_causes,
    write_causes,
)
from stages.records.declaration import read_studies
from stages.records.networks import add_networks
from stages.reporting.figures.causes import draw_causes
from stages.reporting.figures.style import COLOURS
from stages.studies.causes import Job, intervene
from tests.conftest import PARAMS, ROOT, change, project_of_studies
from tests.made_up import LAYERS, accuracy_of, row_of

SEEDS = range(6)


@pytest.fixture(scope="module")
def params() -> Params:
    return change(Params.model_validate(PARAMS), shifts__noise=[0.1, 0.3], shifts__inversion=True)


@pytest.fixture(scope="module")
def rows(params: Params) -> list[Row]:
    cases = [case for model in MODELS for case in list_cases(model, LAYERS)]
    return [row_of(case, seed, params) for case in cases for seed in SEEDS]


@pytest.fixture(scope="module")
def causes(params: Params, rows: list[Row]) -> Causes:
    found = find_causes(params, rows)
    assert found is not None
    return found


def test_effects_by_scipy(causes: Causes) -> None:
    """All interventions in bn are one family, each against the same networks as trained."""
    pairs = [
        [
            [accuracy_of(x, seed) for seed in SEEDS]
            for x in (effect.case, case_of("bn", (effect.case.shift, effect.case.severity), []))
        ]
        for effect in causes.cures
    ]
    p_values = multipletests([ttest_rel(*pair).pvalue for pair in pairs], method="holm")[1]
    assert len(pairs) == len(SHIFTS) * 17
    for effect, (cured, as_trained), p_value in zip(causes.cures, pairs, p_values, strict=True):
        assert effect.comparison.accuracies == pytest.approx((np.mean(cured), np.mean(as_trained)))
        assert effect.comparison.p_value == pytest.approx(p_value)


def test_share_of_the_loss_restored_by_scipy(causes: Causes) -> None:
    effect = causes.find(case_of("bn", CONTRAST, [1, 2]))
    cured, faded, clean = (
        np.array([accuracy_of(case_of("bn", shift, layers), seed) for seed in SEEDS])
        for shift, layers in ((CONTRAST, [1, 2]), (CONTRAST, []), (SHIFTS[0], []))
    )
    assert effect.restored is not None
    assert effect.restored.value == pytest.approx((cured - faded).mean() / (clean - faded).mean())
    assert effect.restored.value == pytest.approx(1 / 3, abs=0.01)
    wanted = bootstrap(
        (cured - faded, clean - faded),
        lambda gain, loss, axis: gain.mean(axis) / loss.mean(axis),
        paired=True,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert effect.restored.interval.low == pytest.approx(wanted.low, abs=5e-4)
    assert effect.restored.interval.high == pytest.approx(wanted.high, abs=5e-4)


def test_no_share_where_little_is_lost(causes: Causes) -> None:
    assert all(x.restored is None for x in causes.cures if x.case.shift == "none")
    assert all(x.restored is None for x in causes.breaks if x.case.shift == "none")


def test_a_change_is_compared_with_the_same_intervention_without_it(causes: Causes) -> None:
    """Layer 1 frozen costs 6 points, the change brings 10."""
    given = {"change": "align channels", "changed": LAYERS[1:]}
    effect = causes.find(case_of("ln", CONTRAST, LAYERS[1:], **given))
    assert effect.comparison.difference == pytest.approx(0.1, abs=0.005)
    assert effect.restored is not None
    assert effect.restored.value == pytest.approx(10 / 6, rel=0.1)


def test_a_partial_record_counts_only_seeds_that_are_complete(
    params: Params, rows: list[Row]
) -> None:
    last = [row for row in rows if row.model == "ln" and row.seed == 3][-1]
    found = find_causes(params, [row for row in rows if row != last])
    assert found is not None
    assert found.seeds == [0, 1, 2, 4, 5]
    assert find_causes(params, [row for row in rows if row.seed == 0]) is None
    assert find_causes(params, [replace(row, recipe="rold") for row in rows]) is None
    assert find_causes(params, []) is None


def test_the_figure_shows_each_network(causes: Causes) -> None:
    """The mean bars of the first panel are those of bn, faded, by what is fresh."""
    figure = draw_causes(causes)
    first = figure.axes[0]
    bars = [
        100 * np.mean(causes.accuracies(case_of("bn", CONTRAST, x)))
        for x in ([], *([k] for k in LAYERS), LAYERS[1:], LAYERS)
    ]
    drawn = [segment[0, 1] for lines in first.collections for segment in lines.get_segments()]
    assert drawn == pytest.approx(bars)
    dots = [line for line in first.lines if line.get_linestyle() == "None"]
    assert {to_hex(line.get_color()).upper() for line in dots} == {COLOURS["bn"]}
    assert all(len(line.get_xdata()) == len(SEEDS) for line in dots)


def test_the_record_is_read_as_written(tmp_path: Path, rows: list[Row]) -> None:
    """In an order of its own."""
    with contextlib.chdir(tmp_path):
        assert read_causes() == []
        write_causes(rows)
        content = PATH.read_bytes()
        assert set(read_causes()) == set(rows)
        write_causes(rows[::-1])
        assert PATH.read_bytes() == content
        PATH.write_bytes(content.replace(b"bn,contrast,0.1", b"bn,contrast,x", 1))
        with pytest.raises(PipelineError, match=r"causes.csv is not .*severity.*; restore it"):
            read_causes()


@pytest.fixture(scope="module")
def job(params: Params) -> Job:
    """A network of bn that learned nothing, but has running statistics of images."""
    recipe = Recipe.of("bn", params)
    torch.manual_seed(0)
    network = network_for(recipe)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0  # its averages are of the one batch
    (train, *_), pixels = prepare(ROOT / "data/raw", params.data)
    with torch.no_grad():
        network.train()(pixels.standardize(train.images[:500] / 255))
    weights = safetensors.torch.save(network.state_dict())
    return Job(("bn", 0, recipe.digest), recipe, weights)


@pytest.mark.usefixtures("_in_the_project")
def test_interventions_agree_with_the_readings_of_evaluate(job: Job, params: Params) -> None:
    """As trained, and with the statistics of each test batch."""
    network = network_for(job.recipe)
    network.load_state_dict(safetensors.torch.load(job.weights))
    (_, test), pixels = prepare(ROOT / "data/raw", params.data)
    scored = score_shifts(network.eval(), "bn", test, pixels, params.shifts)
    accuracies = {row.case: row.accuracy for row in scored}
    cases = tuple(case_of("bn", CONTRAST, layers) for layers in ([], LAYERS))
    rows = intervene(replace(job, cases=cases))
    assert [row.case for row in rows] == list(cases)
    for row, reading in zip(rows, (("bn", None), ("bn-batch", 100)), strict=True):
        wanted = accuracies[ShiftCase("bn", *reading, *CONTRAST)]
        assert row.accuracy == pytest.approx(wanted, abs=2e-4)


@pytest.fixture
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where the raw files are


STUDY = "studies: {seeds: {question: 'x?', models: [bn], seeds: 1, networks: true}}"


def test_the_command_computes_only_what_is_missing(tmp_path: Path, job: Job) -> None:
    project = project_of_studies(tmp_path, STUDY)
    with contextlib.chdir(tmp_path):
        params = load_params()
        assert "holds no network" in project.run("python", "-m", "stages.studies.causes", status=1)
        key = "bn", 0, Recipe.of("bn", params).digest
        add_networks(read_studies()["seeds"], {key: safetensors.torch.load(job.weights)})
        rows = [row_of(case, 0, params) for case in list_cases("bn", LAYERS)]
        missing = next(row for row in rows if row.case == case_of("bn", NOISE, [3]))
        write_causes([row for row in rows if row != missing])
        project.run("python", "-m", "stages.studies.causes")
        found, kept = set(read_causes()), {row for row in rows if row != missing}
        assert kept < found
        (new,) = found - kept
        assert new.case == missing.case
        assert 0 < new.accuracy < 1
        before = PATH.read_bytes()
        assert "0 steps to do" in project.run("python", "-m", "stages.studies.causes")
        assert before == PATH.read_bytes()
