"""Figures hold what they should: the data, the titles, the labels."""

from collections.abc import Callable
from statistics import mean, stdev

import pytest
import torch
from matplotlib.colors import to_hex
from scipy.stats import t

from stages.analysis.mistakes import find_mistakes
from stages.analysis.studies import ask
from stages.core.dataset import Split
from stages.core.params import MODELS, Params
from stages.model.history import Epoch
from stages.model.scoring import Score
from stages.reporting.figures.curves import draw_course
from stages.reporting.figures.mistakes import draw_errors
from stages.reporting.figures.studies import draw_answer
from stages.reporting.figures.style import COLOURS, render_png
from stages.reporting.words import WORDS
from tests.made_up import collect_made_up, score


@pytest.fixture(params=["test", "validation"])
def histories(request: pytest.FixtureRequest) -> dict[str, list[Epoch]]:
    losses = {"bn": [0.5, 0.1, 0.2], "gn": [0.6, 0.3, 0.25], "ln": [0.7, 0.4, 0.15]}

    def epoch(number: int, x: float) -> Epoch:
        trained, followed, unaveraged = (Score(x, 1 - x / n) for n in (2, 10, 5))
        return Epoch(number, 0.1, trained, followed, request.param, unaveraged)

    return {m: [epoch(i, x) for i, x in enumerate(of_m, 1)] for m, of_m in losses.items()}


@pytest.mark.parametrize(("quantity", "best_of"), [("loss", min), ("accuracy", max)])
def test_curves(quantity: str, best_of: Callable, histories: dict[str, list[Epoch]]) -> None:
    axes = draw_course(histories, quantity).axes[0]
    lines, stars = axes.lines[::2], axes.lines[1::2]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    for (model, epochs), line, star, label in zip(
        histories.items(), lines, stars, legend, strict=True
    ):
        values = [getattr(epoch.followed, quantity) for epoch in epochs]
        low, high = axes.get_ylim()
        assert low <= min(values) <= max(values) <= high
        assert list(line.get_xdata()) == [1, 2, 3]
        assert list(line.get_ydata()) == values
        assert to_hex(line.get_color()).upper() == COLOURS[model]
        best = best_of(values)
        assert list(star.get_ydata()) == [best]
        assert list(star.get_xdata()) == [values.index(best) + 1]
        last = f"{values[-1]:.2%}" if quantity == "accuracy" else f"{values[-1]:.4f}"
        assert label.startswith(f"{model}: best")
        assert f"(epoch {values.index(best) + 1}), last {last}" in label
    title = axes.get_title(loc="left")
    assert title.startswith(histories["bn"][0].followed_split.title())


def test_curves_of_a_perfect_model() -> None:
    """All right, with a loss of 0, from the fifth epoch on: a few validation images can do that."""
    scores = [Score(0.5 / i**9, 1 - 0.1 / i) for i in range(1, 5)] + [Score(0.0, 1.0)] * 4
    epochs = [Epoch(i, 0.1, one, one, "validation", one) for i, one in enumerate(scores, start=1)]
    histories = dict.fromkeys(MODELS, epochs)
    for quantity in ("loss", "accuracy"):
        figure = draw_course(histories, quantity)
        render_png(figure, 50)
        axes = figure.axes[0]
        low, high = axes.get_ylim()
        assert len([tick for tick in axes.get_yticks() if low <= tick <= high]) >= 2


def _logits(split: Split, wrong: dict[int, tuple[int, float]]) -> torch.Tensor:
    """Right and sure of everything but ``wrong``: index to predicted digit and margin."""
    logits = torch.nn.functional.one_hot(split.labels.long(), 10).float() * 20
    for index, (digit, margin) in wrong.items():
        logits[index] = 0
        logits[index, digit] = margin
    return logits


def test_errors_are_ordered_by_confidence_then_index(test_split: Split) -> None:
    digits = {index: (int(test_split.labels[index]) + 1) % 10 for index in (5, 9, 40, 700)}
    margins = {5: 2.0, 9: 3.0, 40: 2.0, 700: 9.0}
    logits = _logits(test_split, {i: (digits[i], margins[i]) for i in digits})
    mistakes = find_mistakes(logits, test_split.labels)
    assert [one.index for one in mistakes] == [700, 9, 5, 40]


def test_matrix_of_errors(test_split: Split) -> None:
    digits = {index: (int(test_split.labels[index]) + 3) % 10 for index in range(100, 112)}
    logits = _logits(test_split, {i: (d, i / 50) for i, d in digits.items()})
    mistakes = find_mistakes(logits, test_split.labels)
    figure = draw_errors("gn", mistakes, test_split, WORDS["mnist"])
    assert len(figure.axes) == 10
    columns = {round(axes.get_subplotspec().colspan.start) for axes in figure.axes}
    assert columns == {0, 1}
    for axes, index in zip(figure.axes, range(111, 101, -1), strict=True):
        shown = torch.tensor(axes.images[0].get_array())
        assert torch.equal(shown, test_split.images[index, 0])
        confidence = float(logits[index].softmax(0).max())
        assert axes.get_title() == (
            f"#{index}: true {int(test_split.labels[index])}\n"
            f"predicted {digits[index]} ({confidence:.1%})"
        )
    assert figure.get_suptitle() == (
        "gn (group normalization)\n10 of 12 test errors, most confident first"
    )


def test_fewer_than_ten_errors_leave_the_rest_blank_and_say_so(test_split: Split) -> None:
    digit = (int(test_split.labels[7]) + 1) % 10
    mistakes = find_mistakes(_logits(test_split, {7: (digit, 1.0)}), test_split.labels)
    figure = draw_errors("bn", mistakes, test_split, WORDS["mnist"])
    assert [len(axes.images) for axes in figure.axes] == [1] + [0] * 9
    assert "only 1 in all" in figure.get_suptitle()


def test_figures_name_the_classes(test_split: Split) -> None:
    label = int(test_split.labels[7])
    names = WORDS["fashion-mnist"].classes
    assert (names[0], names[8], names[9]) == ("T-shirt/top", "Bag", "Ankle boot")
    mistakes = find_mistakes(_logits(test_split, {7: ((label + 1) % 10, 1.0)}), test_split.labels)
    errors = draw_errors("bn", mistakes, test_split, WORDS["fashion-mnist"])
    assert (
        f"true {names[label]}\npredicted {names[(label + 1) % 10]} (" in errors.axes[0].get_title()
    )


def test_figure_of_a_study(params: Params) -> None:
    results = collect_made_up(params, score, vary={"models.bn.l1": [0, 0.1]})
    (question,) = ask(results, margin=0.001)
    (axes,) = draw_answer(question).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["bn"].get_ydata() == pytest.approx([0.0201, 0.9])
    assert to_hex(lines["bn"].get_color()).upper() == COLOURS["bn"]
    assert lines["gn (does not vary)"].get_ydata() == pytest.approx([0.0201, 0.0201])
    crosses = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [line.get_ydata()[0] for line in crosses] == [pytest.approx(0.9)]
    assert [text.get_text() for text in axes.texts] == ["guessing"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.1"]
    assert axes.get_xlabel() == "l1"


def test_figures_side_by_side_have_one_scale(params: Params) -> None:
    both = [{"models.bn.l1": [0, 0.1]}, {"models.bn.weight_decay": [0, 0.1, 0.2]}]
    questions = [next(ask(collect_made_up(params, score, vary=x), margin=0.001)) for x in both]
    left, right = draw_answer(*questions).axes
    assert left.get_ylim() == right.get_ylim()
    assert [axes.get_xlabel() for axes in (left, right)] == ["l1", "weight decay"]
    assert right.get_position().width / left.get_position().width == pytest.approx(4 / 3, rel=0.01)


def test_figure_without_anything_that_varies(params: Params) -> None:
    """Nothing differs by much, so the axis spans no less than a factor of three."""
    (question,) = ask(collect_made_up(params, score, models=["bn", "none"]), margin=0.001)
    (axes,) = draw_answer(question).axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["bn", "no\nnormalization"]
    low, high = axes.get_ylim()
    assert high / low == pytest.approx(3)


def test_figure_holds_the_intervals(params: Params) -> None:
    """Errors of 2, 3 and 6 %: the interval ends at 8.8 % by scipy, far above the mean."""
    errors = [0.02, 0.03, 0.06]
    result = collect_made_up(
        params, lambda x: {"test_accuracy": f"{1 - errors[x.seed]:.4f}"}, models=["gn"]
    )
    (question,) = ask(result, margin=0.001)
    (axes,) = draw_answer(question).axes
    _, top = t.interval(0.95, df=2, loc=mean(errors), scale=stdev(errors) / 3**0.5)
    assert max(max(line.get_ydata()) for line in axes.lines) == pytest.approx(top)
    assert axes.get_ylim()[1] >= top
