"""All pictures of the report: what each shows, in a figure and in words."""

from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from stages.model import NORMALIZATIONS, normalization_layer
from stages.params import MODELS
from stages.reporting import curves
from stages.reporting.errors import SHOWN, draw_errors
from stages.reporting.normalization import draw_worked_example
from stages.reporting.results import Results
from stages.worked_example import CHANNELS_PER_GROUP, find_shared_statistics, read_example


@dataclass(frozen=True)
class Picture:
    """A figure, its file name without ending, and the text for who cannot see it."""

    name: str
    figure: Figure
    text: str


def draw_pictures(results: Results) -> Iterator[Picture]:
    """Draw one picture after another."""
    yield from _curves(results)
    yield from _errors(results)
    yield from _worked_example()


def _curves(results: Results) -> Iterator[Picture]:
    histories = results.histories
    split = histories["bn"][0].followed_split
    curve = "of bn, gn and ln by epoch, the best and the last value of each marked"
    for name, figure, what in (
        ("loss", curves.draw_followed_loss(histories), f"{split} loss"),
        ("accuracy", curves.draw_followed_accuracy(histories), f"{split} accuracy"),
        ("training_loss", curves.draw_training_loss(histories), "training loss"),
        ("training_accuracy", curves.draw_training_accuracy(histories), "training accuracy"),
    ):
        yield Picture(name, figure, f"{what.capitalize()} {curve}")


def _errors(results: Results) -> Iterator[Picture]:
    for model in MODELS:
        figure = draw_errors(model, results.logits[model], results.test)
        text = (
            f"The {min(SHOWN, results.metrics[model].errors)} most confident test errors of "
            f"{model}: each image with its index, true and predicted digit and confidence"
        )
        yield Picture(f"errors_{model}", figure, text)


def _worked_example() -> Iterator[Picture]:
    images = read_example()
    for normalization in NORMALIZATIONS:
        layer = normalization_layer(normalization, images.shape[1], CHANNELS_PER_GROUP)
        sets = find_shared_statistics(layer, images)
        figure = draw_worked_example(images, normalization, sets)
        text = (
            f"Four images of four channels; {normalization} normalization has {len(sets)} sets "
            "of elements, in colours, that share a mean and a variance"
        )
        yield Picture(f"worked_example_{normalization}", figure, text)
