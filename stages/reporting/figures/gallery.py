"""Every figure of the report, each with a text for those who cannot see it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure

from stages.analysis.findings import Findings
from stages.analysis.inputs import Inputs
from stages.analysis.shifts import Shifts
from stages.analysis.studies import Question, ShiftedStudy
from stages.analysis.worked_example import CHANNELS_PER_GROUP, find_shared_statistics
from stages.core.params import MODELS
from stages.evaluation.activations import BLOCKS
from stages.model.normalization import NORMALIZATIONS, Normalization
from stages.reporting.figures import activations, curves, mistakes
from stages.reporting.figures.shifts import draw_shifts, draw_test_batch
from stages.reporting.figures.studies import draw_answer
from stages.reporting.figures.worked_example import draw_worked_example
from stages.reporting.sentences import call, name_axis, tell_of_batches
from stages.reporting.words import WORDS

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


def draw_pictures(findings: Findings) -> list[Picture]:
    """Draw all pictures."""
    inputs = findings.inputs
    has_average = findings.params.train.weight_average > 0
    return [
        *_curves(inputs, has_average),
        *_shifts(findings.shifts),
        *map(_shifted, findings.studies.shifted),
        *map(_answer, findings.studies.questions),
        *_errors(findings),
        *_worked_example(inputs.example),
        *_inside(inputs),
    ]


def _curves(inputs: Inputs, has_average: bool) -> Iterator[Picture]:
    for name, draw, quantity in (
        ("loss", curves.draw_followed_loss, f"{inputs.followed_split} loss"),
        ("accuracy", curves.draw_followed_accuracy, f"{inputs.followed_split} accuracy"),
        ("training_loss", curves.draw_training_loss, "training loss"),
        ("training_accuracy", curves.draw_training_accuracy, "training accuracy"),
        ("learning_rate", curves.draw_learning_rate, "learning rate"),
    ):
        text = f"{quantity.capitalize()} of bn, gn and ln by epoch"
        yield Picture(name, draw(inputs.histories), text)
    if has_average:
        text = f"{inputs.followed_split.capitalize()} accuracy of the weights and of their average"
        yield Picture("average", curves.draw_average(inputs.histories), text)


def _shifts(found: Shifts) -> Iterator[Picture]:
    if found.comparisons:
        yield Picture("shifts", draw_shifts(found), _OF_SHIFTS)
    if tell_of_batches(found):
        text = "Test accuracy of bn by the number of test images that give the statistics"
        yield Picture("test_batch", draw_test_batch(found), text)


def _shifted(one: ShiftedStudy) -> Picture:
    return Picture(one.name, draw_shifts(one.shifts), f"{one.study.question} {_OF_SHIFTS}")


def _answer(question: Question) -> Picture:
    axis = name_axis(question)
    by = f" by {axis}" if axis else ""
    names = ", ".join(call(one.name) for one in question.series)
    text = f"{question.text} Mean test error over seeds with 95 % intervals{by}, of {names}"
    return Picture(question.name, draw_answer(question), text)


def _errors(findings: Findings) -> Iterator[Picture]:
    guesses, overlaps = findings.inputs.guesses, findings.overlaps
    words = WORDS[findings.params.data.name]
    for model in MODELS:
        figure = mistakes.draw_errors(model, findings.mistakes[model], findings.inputs.test, words)
        text = (
            f"The most confident test errors of {model}: each image with its index, true and "
            f"predicted {words.noun} and confidence"
        )
        yield Picture(f"errors_{model}", figure, text)
        figure = mistakes.draw_confusions(model, guesses[model], words)
        text = f"How often {model} took each {words.noun} for each other"
        yield Picture(f"confusions_{model}", figure, text)
    counts = ", ".join(f"{' and '.join(models)}: {len(x)}" for models, x in overlaps.items())
    text = f"Test images that exactly these models get wrong: {counts}"
    yield Picture("overlaps", mistakes.draw_overlaps(overlaps), text)
    text = f"Test accuracy of bn, gn and ln on each {words.noun} with 95 % intervals"
    yield Picture("classes", mistakes.draw_class_accuracies(guesses, words), text)
    text = "Share of right predictions against their mean confidence for bn, gn and ln"
    yield Picture("reliability", mistakes.draw_reliability(guesses), text)


def _worked_example(images: torch.Tensor) -> Iterator[Picture]:
    for normalization in NORMALIZATIONS:
        layer = Normalization(normalization, CHANNELS_PER_GROUP).layer(images.shape[1])
        sets = find_shared_statistics(layer, images)
        figure = draw_worked_example(images, normalization, sets)
        text = (
            f"Four images of four channels; {normalization} normalization has {len(sets)} sets "
            "of elements, in colours, that share a mean and a variance"
        )
        yield Picture(f"worked_example_{normalization}", figure, text)


def _inside(inputs: Inputs) -> Iterator[Picture]:
    for block in BLOCKS:
        observed = {model: blocks[block] for model, blocks in inputs.activations.items()}
        text = f"Distribution of the activations of {block} before and after bn, gn and ln"
        yield Picture(f"activations_{block}", activations.draw_activations(block, observed), text)
    yield Picture(
        "running_statistics",
        activations.draw_running_statistics(inputs.activations["bn"]),
        "Mean and variance of each channel on test images against batch normalization's own",
    )
