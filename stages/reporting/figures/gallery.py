"""Every figure of the report, each with a text for those who cannot see it."""

from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from stages.analysis.findings import Findings
from stages.analysis.worked_example import number_sets
from stages.core.params import MODELS
from stages.model.normalization import NORMALIZATIONS
from stages.reporting.figures.causes import draw_causes
from stages.reporting.figures.curves import draw_course
from stages.reporting.figures.gradients import draw_gradients
from stages.reporting.figures.mistakes import draw_errors
from stages.reporting.figures.shifts import draw_shifts
from stages.reporting.figures.studies import draw_answer
from stages.reporting.figures.worked_example import draw_worked_example
from stages.reporting.words import WORDS, call

_OF_SHIFTS = (
    "Test accuracy by the severity of each shift, for bn with running statistics and with those of "
    "the test batch, gn and ln"
)


@dataclass(frozen=True)
class Picture:
    """A figure, its file name without ending, and the text for who cannot see it."""

    name: str
    figure: Figure
    text: str


def draw_pictures(found: Findings) -> list[Picture]:
    """Draw all pictures."""
    parts = _results, _studies, _errors, _example
    return [picture for part in parts for picture in part(found)]


def _results(found: Findings) -> Iterator[Picture]:
    histories, followed = found.inputs.histories, found.inputs.followed_split.capitalize()
    for quantity in ("loss", "accuracy"):
        text = f"{followed} {quantity} of bn, gn and ln by epoch"
        yield Picture(quantity, draw_course(histories, quantity), text)
    figure = draw_shifts({"": found.shifts}, image=found.inputs.test.images[:1])
    text = f"{_OF_SHIFTS}; under each axis, one test image so changed"
    yield Picture("shifts", figure, text)
    if found.causes:
        text = (
            "Test accuracy on shifted images, network by network: of bn with the statistics of the "
            "test batch in some layers, of gn and ln with those of training images in some layers"
        )
        yield Picture("causes", draw_causes(found.causes), text)
    if found.growth:
        text = "Norms of gradients before training, from the last layer to the first, by network"
        yield Picture("gradients", draw_gradients(found.growth), text)


def _studies(found: Findings) -> Iterator[Picture]:
    for one in found.studies.shifted:
        by = f"Test accuracy by the severity of each shift and by {one.study.axis or 'value'}"
        text = f"{one.study.question} {by if one.has_arms else _OF_SHIFTS}"
        yield Picture(one.name, draw_shifts(one.arms, one.controls), text)
    questions = found.studies.questions
    for question in questions:
        beside = [x for x in questions if x.study.beside == question.study.name]
        is_drawn = any(x.has_figure for x in (question, *beside))
        if is_drawn and not question.study.beside:
            axis = question.study.varied
            by = f" by {axis}" if axis else ""
            names = ", ".join(call(one.name) for one in question.series)
            text = f"{question.text} Mean test error over seeds with 95 % intervals{by}, of {names}"
            yield Picture(question.name, draw_answer(question, *beside), text)


def _errors(found: Findings) -> Iterator[Picture]:
    words = WORDS[found.params.data.name]
    for model in MODELS:
        text = (
            f"The most confident test errors of {model}: each image with its index, true and "
            f"predicted {words.noun} and confidence"
        )
        figure = draw_errors(model, found.inputs.mistakes[model], found.inputs.test, words)
        yield Picture(f"errors_{model}", figure, text)


def _example(found: Findings) -> Iterator[Picture]:
    images = found.inputs.example
    for normalization in NORMALIZATIONS:
        sets = number_sets(images, normalization)
        count = int(sets.max()) + 1
        text = (
            f"Four images of four channels; {normalization} normalization has {count} sets "
            "of elements, in colours, that share a mean and a variance"
        )
        figure = draw_worked_example(images, normalization, sets)
        yield Picture(f"worked_example_{normalization}", figure, text)
