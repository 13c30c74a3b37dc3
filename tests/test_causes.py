"""Interventions on record: what is tried, what is computed once, and what the numbers show."""

import contextlib
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from matplotlib.colors import to_hex
from scipy.stats import bootstrap, ttest_rel
from statsmodels.stats.multitest import multipletests

from stages.analysis.causes import Causes, choose_prior, find_causes
from stages.core.errors import PipelineError
from stages.core.params import MODELS, Params, load_params
from stages.core.recipe import Recipe
from stages.evaluation.shifts import Case as ShiftCase
from stages.evaluation.shifts import list_sets, score_shifts
from stages.model.network import network_for
from stages.preparation.splitting import prepare
from stages.records.causes import (
    CONTRAST,
    DISTANCES_PATH,
    NOISE,
    PATH,
    PRIORS,
    SHIFTS,
    Distance,
    Row,
    case_of,
    list_cases,
    list_choice,
    list_compared,
    read_causes,
    read_distances,
    write_table,
)
from stages.records.declaration import read_studies
from stages.records.networks import add_networks
from stages.records.results import Cell
from stages.reporting.figures.causes import draw_causes
from stages.reporting.figures.style import COLOURS
from stages.reporting.why import tabulate
from stages.reporting.words import name_shift
from stages.studies.causes import Job, compare, intervene, main
from tests.conftest import PARAMS, ROOT, change, project_of_studies
from tests.made_up import BEST, LAYERS, accuracy_of, distances_of, row_of

SEEDS = range(6)


@pytest.fixture(scope="module")
def params() -> Params:
    return change(Params.model_validate(PARAMS), shifts__noise=[0.1, 0.3], shifts__inversion=True)


@pytest.fixture(scope="module")
def rows(params: Params) -> list[Row]:
    cases = [*list_choice(6), *(x for model in MODELS for x in list_cases(model, 6, BEST))]
    return [row_of(case, seed, params) for case in cases for seed in SEEDS]


@pytest.fixture(scope="module")
def distances(params: Params) -> list[Distance]:
    return [one for seed in SEEDS for one in distances_of(params, seed, _loss)]


def _loss(shift: tuple[str, float]) -> float:
    return zlib.crc32(repr(shift).encode()) / 2**33


@pytest.fixture(scope="module")
def cells(params: Params) -> dict[str, Cell]:
    return {
        model: Cell(
            {},
            {
                ShiftCase(model, model, None, *shift): {s: 0.9 - _loss(shift) for s in SEEDS}
                for shift in list_sets(params.shifts)
            },
        )
        for model in MODELS
    }


@pytest.fixture(scope="module")
def causes(
    params: Params, rows: list[Row], distances: list[Distance], cells: dict[str, Cell]
) -> Causes:
    found = find_causes(params, rows, distances, cells)
    assert found is not None
    return found


def test_effects_by_scipy(causes: Causes) -> None:
    """All interventions in bn are one family, each against the same networks as trained."""
    cures = [x for x in causes.effects if x.model == "bn" and not (x.change or x.prior)]
    pairs = [
        [
            [accuracy_of(x, seed) for seed in SEEDS]
            for x in (case, case_of("bn", (case.shift, case.severity), []))
        ]
        for case in cures
    ]
    p_values = multipletests([ttest_rel(*pair).pvalue for pair in pairs], method="holm")[1]
    assert len(pairs) == len(SHIFTS) * 17
    for case, (cured, as_trained), p_value in zip(cures, pairs, p_values, strict=True):
        found = causes.effects[case].comparison
        assert found.accuracies == pytest.approx((np.mean(cured), np.mean(as_trained)))
        assert found.p_value == pytest.approx(p_value)


def test_share_of_the_loss_restored_by_scipy(causes: Causes) -> None:
    effect = causes.effects[case_of("bn", CONTRAST, [1, 2])]
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
    of_layers = [x for x in causes.effects if not (x.change or x.prior)]
    assert {x.model for x in of_layers if x.shift == "none"} == set(MODELS)
    assert all(causes.effects[x].restored is None for x in of_layers if x.shift == "none")


def test_a_change_is_compared_with_the_same_intervention_without_it(causes: Causes) -> None:
    """Layer 1 frozen costs 6 points, the change brings 10."""
    given = {"change": "align channels", "changed": LAYERS[1:]}
    effect = causes.effects[case_of("ln", CONTRAST, LAYERS[1:], **given)]
    assert effect.comparison.difference == pytest.approx(0.1, abs=0.005)
    assert effect.restored is not None
    assert effect.restored.value == pytest.approx(10 / 6, rel=0.1)


def test_the_table_is_of_networks_with_fresh_layers(causes: Causes) -> None:
    header, rows = tabulate(causes)
    assert header[2:] == ["all", "layer 1", "layers 2 to 6", "none"]
    (shown,) = [row[2:] for row in rows if row[:2] == [name_shift(CONTRAST), "bn"]]
    middle = 0.9 - 0.025  # of the seeds
    lost = {0: LAYERS, 0.5: LAYERS[:1], 0.1: LAYERS[1:], 0.6: []}
    for share, (loss, layers) in zip(shown, lost.items(), strict=True):
        accuracy = np.mean(causes.accuracies(case_of("bn", CONTRAST, layers)))
        assert accuracy == pytest.approx(middle - loss, abs=0.005)
        assert share == f"{100 * accuracy:.0f} %"


def test_the_prior_is_chosen_by_training_images(causes: Causes, rows: list[Row]) -> None:
    """Whatever the test images say of others."""
    assert causes.prior == BEST
    others = [replace(row, prior=1, accuracy=1.0) for row in rows if row.split == "test"]
    assert choose_prior([*others, *rows]) == BEST
    assert choose_prior(replace(row, accuracy=0.5) for row in rows) == min(PRIORS)


def test_how_many_images_are_enough(causes: Causes) -> None:
    """n images cost 40 / n points: 64 cost 0.6, 32 cost 1.25."""
    assert causes.enough(NOISE) == 32  # within a point of 64


def test_rank_correlations(causes: Causes) -> None:
    assert causes.ranks == {
        (model, layer): pytest.approx(1 if layer == 1 else -1)
        for model in MODELS
        for layer in LAYERS
    }


def test_a_partial_record_counts_only_seeds_that_are_complete(
    params: Params, rows: list[Row], distances: list[Distance], cells: dict[str, Cell]
) -> None:
    last = [row for row in rows if row.split == "test" and row.model == "ln" and row.seed == 3][-1]
    found = find_causes(params, [row for row in rows if row != last], distances, cells)
    assert found is not None
    assert found.seeds == [0, 1, 2, 4, 5]
    assert find_causes(params, [row for row in rows if row.seed == 0], [], cells) is None
    assert find_causes(params, [replace(row, recipe="rold") for row in rows], [], cells) is None
    assert find_causes(params, [], distances, cells) is None
    assert find_causes(params, rows, distances[:-1], cells) is not None
    of_bn = [one for one in distances if one.model == "bn"]
    assert find_causes(params, rows, of_bn, cells) is None  # as while they are made


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


def test_tables_are_read_as_written(
    tmp_path: Path, rows: list[Row], distances: list[Distance]
) -> None:
    """In an order of their own."""
    with contextlib.chdir(tmp_path):
        assert read_causes() == read_distances() == []
        write_table(PATH, rows)
        content = PATH.read_bytes()
        assert set(read_causes()) == set(rows)
        write_table(PATH, rows[::-1])
        assert PATH.read_bytes() == content
        write_table(DISTANCES_PATH, distances)
        assert set(read_distances()) == set(distances)
        PATH.write_bytes(content.replace(b"bn,test,contrast,0.1", b"bn,test,contrast,x", 1))
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
        expected = accuracies[ShiftCase("bn", *reading, *CONTRAST)]
        assert row.accuracy == pytest.approx(expected, abs=2e-4)


@pytest.fixture
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where the raw files are


@pytest.mark.usefixtures("_in_the_project")
def test_clean_test_images_lie_near_the_clean_training_images(job: Job) -> None:
    near, far = (case_of("bn", shift, []) for shift in (SHIFTS[0], CONTRAST))
    found = compare(replace(job, cases=(near, far)))
    assert [(row.shift, row.layer) for row in found] == [
        (case.shift, layer) for case in (near, far) for layer in LAYERS
    ]
    assert all(row.mean < 0.1 > row.deviation for row in found[:6])
    assert all(row.deviation > 0.5 for row in found[6:])  # contrast x 0.1 takes most of it


STUDY = "studies: {seeds: {question: 'x?', models: [bn], seeds: 1, networks: true}}"


def test_the_command_computes_only_what_is_missing(
    tmp_path: Path, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    project = project_of_studies(tmp_path, STUDY)
    with contextlib.chdir(tmp_path):
        params = load_params()
        with pytest.raises(PipelineError, match="holds no network"):
            main()
        key = "bn", 0, Recipe.of("bn", params).digest
        add_networks(read_studies()["seeds"], {key: safetensors.torch.load(job.weights)})
        rows = [row_of(x, 0, params) for x in (*list_choice(6), *list_cases("bn", 6, BEST))]
        missing = next(row for row in rows if row.case == case_of("bn", NOISE, [3]))
        write_table(PATH, [row for row in rows if row != missing])
        compared = list_compared("bn", 6, list_sets(params.shifts))
        distances = [
            Distance(*key, x.shift, x.severity, x.means, layer, 0.5, 0.5)
            for x in compared
            for layer in LAYERS
        ]
        write_table(DISTANCES_PATH, [x for x in distances if (x.shift, x.severity) != NOISE])
        project.run("python", "-m", "stages.studies.causes")
        found, kept = set(read_causes()), {row for row in rows if row != missing}
        assert kept < found
        (new,) = found - kept
        assert new.case == missing.case
        assert 0 < new.accuracy < 1
        assert len(read_distances()) == len(distances)
        before = PATH.read_bytes(), DISTANCES_PATH.read_bytes()
        main()
        assert "0 steps to do" in capsys.readouterr().out
        assert before == (PATH.read_bytes(), DISTANCES_PATH.read_bytes())
