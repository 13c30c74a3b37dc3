"""What the report says of studies: pairs, tests and sentences, and the figure that shows them."""

from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import pytest
from matplotlib.colors import to_hex
from scipy.stats import t, ttest_rel
from statsmodels.stats.multitest import multipletests

from stages.core.params import Params
from stages.records.declaration import Study
from stages.records.plan import Planned, list_trainings
from stages.records.record import Row, write_rows
from stages.records.results import collect
from stages.reporting.effects import Pair, compare, tell, tell_of_sign_flips
from stages.reporting.figures.studies import draw_answer
from stages.reporting.figures.style import COLOURS
from stages.reporting.studies import Question, ask, read_study_findings

MARGIN = 0.001
NOISE = [0, 1, -1, 2, -2, 1, 0, -1, 1, -1]  # ten thousandths, seed by seed


def _pair(place: str, difference: float, spread: float = 1e-4) -> Pair:
    """gn and ln with ten seeds; ln is at 0.99, gn above it by ``difference`` and noise."""
    gn = {seed: 0.99 + difference + x * spread for seed, x in enumerate(NOISE)}
    return Pair("gn and ln", place, "gn", "ln", gn, dict.fromkeys(gn, 0.99))


PAIRS = [
    *(_pair(place, 0.002 * float(place)) for place in ("1", "2", "4")),
    *(_pair("8", -0.3), _pair("16", 0, spread=0.002), _pair("32", 0), _pair("64", 1e-6)),
]


def test_all_tests_of_a_study_are_one_family() -> None:
    """P-values by scipy, corrected by statsmodels; the seeds that only one has are left out."""
    more = Pair("", "", "gn", "ln", PAIRS[4].of_first | {10: 0.5}, PAIRS[4].of_second)
    pairs = [*PAIRS[:4], more]
    expected = multipletests(
        [ttest_rel([a for a, _ in x.by_seed], [b for _, b in x.by_seed]).pvalue for x in pairs],
        method="holm",
    )[1]
    found = [effect.comparison.p_value for effect in compare(pairs, MARGIN)]
    assert found == pytest.approx(list(expected), rel=1e-6)


def test_sentence_by_hand() -> None:
    effects = compare(PAIRS, MARGIN)
    ((topic, text),) = [(x.subject, x.text) for x in tell(effects, MARGIN)]
    assert topic == "gn and ln"
    first, second, third, fourth = text.removesuffix(".").split("; ")
    assert first.startswith(
        "at 1 to 4, gn is above ln, and most so at 4: by 0.800 points, 95 % interval"
    )
    assert second.startswith("at 8, ln is 30.000 points above gn, 95 % interval ")
    assert third == "at 32 and 64, they are equal within 0.1 points"
    assert fourth == "at 16, it is not settled"
    assert [effect.verdict for effect in effects[3:6]] == [
        "differ",
        "not settled",
        "equal within 0.1 points",
    ]
    # The least p-value of ten sign flips, 2 / 2^10, times 7.
    assert tell_of_sign_flips(effects) == (
        "The exact sign-flip test agrees with the paired test on all 7 comparisons."
    )


def test_topics_of_which_the_same_is_to_be_said_share_a_sentence() -> None:
    pairs = [Pair(x, "yes", "a", "b", {0: 0.1, 1: 0.1}, {0: 0.1, 1: 0.1}, True) for x in "xy"]
    (sentence,) = tell(compare(pairs, MARGIN), MARGIN)
    assert (sentence.subject, sentence.text) == ("x; y", "if it is, both diverged.")
    assert tell_of_sign_flips(compare(pairs, MARGIN)) == ""


def test_one_seed_compares_nothing() -> None:
    assert compare([Pair("", "", "gn", "ln", {0: 0.9}, {0: 0.8, 1: 0.8})], MARGIN) == []


def _declare(**keys: object) -> Study:
    keys = {"name": "x", "question": "?", "models": ["bn", "gn", "ln"], "seeds": 3} | keys
    return Study.model_validate(keys)


def _record(study: Study, params: Params, result: Callable[[Planned], Row]) -> list[Row]:
    return [
        training.row | {"recipe": training.recipe.digest} | result(training)
        for training in list_trainings(study, params)
    ]


def _score(training: Planned) -> Row:
    """99 % less a hundredth a seed; bn with L1 diverges, and reads 1 point more by its batches."""
    if training.arm.model == "bn" and training.recipe.own.l1:
        return {"outcome": "diverged at epoch 1, step 2"}
    accuracy = 0.98 - training.seed / 1e4
    more = {"recomputed_accuracy": f"{accuracy:.4f}", "batch_accuracy": f"{accuracy + 0.01:.4f}"}
    return {"test_accuracy": f"{accuracy:.4f}"} | (more if training.arm.model == "bn" else {})


@pytest.fixture
def questions(params: Params) -> list[Question]:
    study = _declare(vary={"models.bn.l1": [0, 0.1]}, readings="How?")
    return list(ask(collect(study, params, _record(study, params, _score)), MARGIN))


def test_pairs_of_a_study(questions: list[Question]) -> None:
    """Controls are compared once, models at each place, readings with the running statistics."""
    models, readings = questions
    assert [(x.pair.topic, x.pair.place) for x in models.effects] == [
        *(("bn and gn", "0"), ("bn and gn", "0.1"), ("bn and ln", "0"), ("bn and ln", "0.1")),
        ("gn and ln", ""),
    ]
    assert models.table[1] == ("0.1", ["3 of 3 diverged", *["97.990 ± 0.010"] * 2])
    # 97.99 - 10 for those that diverged
    assert "gn is 87.990 points above bn" in models.effects[1].reason
    assert {x.pair.topic for x in readings.effects} == {
        "recomputed and running",
        "batch and running",
    }
    assert readings.effects[1].verdict == readings.effects[3].verdict == "both diverged"


def test_values_are_compared_with_the_first(params: Params) -> None:
    study = _declare(vary={"train.epochs": [1, 2, 4]}, compare="values", models=["gn"])

    def score(training: Planned) -> Row:
        drop = (training.recipe.train.epochs - 1) / 10 + training.seed**2 / 1e4
        return {"test_accuracy": f"{0.99 - drop * training.recipe.train.epochs:.4f}"}

    (question,) = ask(collect(study, params, _record(study, params, score)), MARGIN)
    assert [x.subject for x in question.answer] == ["gn, 1 and 2", "gn, 1 and 4"]
    assert question.answer[0].text.startswith("1 is 20.017 points above 2, 95 % interval")
    assert not question.has_places


def test_figure_shows_the_means(questions: list[Question]) -> None:
    figure = draw_answer(questions[0])
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["bn"].get_ydata() == pytest.approx([0.0201, 0.9])
    assert to_hex(lines["bn"].get_color()).upper() == COLOURS["bn"]
    assert lines["gn (does not vary)"].get_ydata() == pytest.approx([0.0201, 0.0201])
    crosses = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [line.get_ydata()[0] for line in crosses] == [pytest.approx(0.9)]
    assert [text.get_text() for text in axes.texts] == ["guessing"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.1"]
    assert axes.get_xlabel() == "l1"


def test_figure_without_anything_that_varies(params: Params) -> None:
    study = _declare(models=["bn", "none"])
    (question,) = ask(collect(study, params, _record(study, params, _score)), MARGIN)
    (axes,) = draw_answer(question).axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["bn", "no\nnormalization"]
    # Nothing differs by much, so the axis spans no less than a factor of three.
    low, high = axes.get_ylim()
    assert high / low == pytest.approx(3)


def test_figure_holds_the_intervals(params: Params) -> None:
    """Errors of 2, 3 and 6 %: the interval ends at 8.8 % by scipy, far above the mean."""
    study = _declare(models=["gn"])
    errors = [0.02, 0.03, 0.06]
    rows = _record(study, params, lambda x: {"test_accuracy": f"{1 - errors[x.seed]:.4f}"})
    (question,) = ask(collect(study, params, rows), MARGIN)
    (axes,) = draw_answer(question).axes
    _, top = t.interval(0.95, df=2, loc=mean(errors), scale=stdev(errors) / 3**0.5)
    assert max(max(line.get_ydata()) for line in axes.lines) == pytest.approx(top)
    assert axes.get_ylim()[1] >= top


def test_what_is_shown(tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the seeds nor a search, nor what other parameters were recorded with."""
    monkeypatch.chdir(tmp_path)
    declared = {
        "seeds": _declare(name="seeds"),
        "search": _declare(name="search", set={"data.validation_images": 10}),
        "other": _declare(name="other", set={"train.epochs": 3}),
        "impossible": _declare(name="impossible", vary={"models.bn.normalization_batch": [1, 64]}),
        "shown": _declare(name="shown"),
        "empty": _declare(name="empty"),
    }
    lines = [
        f"  {name}: {{question: '?', models: [bn, gn, ln], seeds: 3, set: {dict(study.set)}"
        f"{f', vary: {dict(study.vary)}' if study.vary else ''}}}"
        for name, study in declared.items()
    ]
    Path("studies.yaml").write_text("\n".join(["studies:", *lines]).replace("'", '"'))
    for name in ("seeds", "search", "other", "impossible", "shown"):
        write_rows(declared[name].record, _record(declared[name], params, _score))
    train = params.train.model_copy(update={"batch_size": 100, "epochs": params.train.epochs})
    found = read_study_findings(params)
    assert [x.name for x in found.questions] == ["study_other", "study_impossible", "study_shown"]
    found = read_study_findings(params.model_copy(update={"train": train}))
    assert found.questions == []
    assert found.left_out == ["other", "impossible", "shown"]
