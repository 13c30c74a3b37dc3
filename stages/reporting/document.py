"""The report as documents: templates filled with what the other stages found."""

import base64
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from torchvision.io import encode_png

from stages.core.params import MODELS, Params, flatten
from stages.evaluation.activations import NUM_IMAGES
from stages.reporting.claims import (
    answer,
    describe_difference,
    format_points,
    format_share,
    judge,
)
from stages.reporting.evidence import compare_by_images, weigh
from stages.reporting.figures.gallery import Picture
from stages.reporting.figures.style import COLOURS, NAMES, render_svg
from stages.reporting.findings import Results
from stages.reporting.mistakes import SHOWN, calibration_error, find_errors, find_overlaps, predict
from stages.reporting.provenance import describe_report, read_pins
from stages.reporting.statistics import Interval, proportion_interval
from stages.reporting.studies import Seeds, describe_seeds

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Row:
    """A line of the result table, beside the metrics of its model."""

    interval: Interval  # of the test accuracy
    epochs_to_99: int | None  # the first epoch after which 99 % were right
    calibration_error: float


@dataclass(frozen=True)
class Mistake:
    """A test image that a model gets wrong."""

    index: int
    image: Markup  # a PNG as a data URI
    true: int
    predicted: int
    confidence: float


def render_markdown(
    params: Params, results: Results, seeds: Seeds | None, pictures: list[Picture]
) -> str:
    """Fill the template of reports/report.md, which shows the figures as files."""
    return _render("report.md.j2", params, results, seeds, pictures)


def render_page(
    params: Params, results: Results, seeds: Seeds | None, pictures: list[Picture]
) -> str:
    """Fill the template of reports/index.html, which holds everything in itself."""
    mistakes = {model: _mistakes(model, results) for model in MODELS}
    by_index = {model: {x.index: x for x in of_model} for model, of_model in mistakes.items()}
    overlaps = {
        models: [by_index[models[0]][index] for index in indices]
        for models, indices in find_overlaps(results.logits, results.test.labels).items()
    }
    more = {"mistakes": mistakes, "overlaps": overlaps}
    return _render("index.html.j2", params, results, seeds, pictures, **more)


def _render(
    template: str,
    params: Params,
    results: Results,
    seeds: Seeds | None,
    pictures: list[Picture],
    **more: object,
) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": format_share, "points": format_points}
    environment.globals["svg"] = lambda picture: Markup(render_svg(picture.figure, picture.text))
    evidence = weigh(results, seeds)
    return environment.get_template(template).render(
        models=MODELS,
        names=NAMES,
        colours=COLOURS,
        params=params,
        parameters=flatten(params.model_dump()),
        results=results,
        rows={model: _row(model, results) for model in MODELS},
        seeds=seeds,
        about_seeds=describe_seeds(seeds, params, results),
        stdev=stdev,
        evidence=evidence,
        answer=answer(evidence),
        claims=judge(evidence),
        of_one_run=_describe_one_run(results),
        pictures={picture.name: picture for picture in pictures},
        **more,
        shown=SHOWN,
        num_observed=len(results.test.images[:NUM_IMAGES]),
        pins=read_pins(),
        software=_join_software(results.software),
        packages=describe_report(),
    )


def _describe_one_run(results: Results) -> str:
    """Say what the images alone show of the three networks of one run."""
    compared = compare_by_images(results.logits, results.test.labels)
    return "; ".join(describe_difference(comparison) for comparison in compared)


def _join_software(software: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return what trained the models; where they differ, in the order of the models."""
    names = dict.fromkeys(name for of_model in software.values() for name in of_model)
    found = {name: [of_model.get(name, "?") for of_model in software.values()] for name in names}
    return {name: ", ".join(dict.fromkeys(values)) for name, values in found.items()}


def _row(model: str, results: Results) -> Row:
    metrics, total = results.metrics[model], len(results.test)
    reached = (e.number for e in results.histories[model] if e.followed.accuracy >= 0.99)
    return Row(
        interval=proportion_interval(total - metrics.errors, total),
        epochs_to_99=next(reached, None),
        calibration_error=calibration_error(results.logits[model], results.test.labels),
    )


def _mistakes(model: str, results: Results) -> list[Mistake]:
    """Return the mistakes of ``model``, the most confident first."""
    labels, logits = results.test.labels, results.logits[model]
    confidence, predicted = predict(logits)
    return [
        Mistake(
            index,
            _data_uri(results.test.images[index]),
            int(labels[index]),
            int(predicted[index]),
            float(confidence[index]),
        )
        for index in find_errors(logits, labels).tolist()
    ]


def _data_uri(image: torch.Tensor) -> Markup:
    """Return ``image`` [1, H, W], uint8, dark on white, as a PNG in a data URI."""
    png = bytes(encode_png(255 - image).numpy())
    return Markup("data:image/png;base64,") + base64.b64encode(png).decode()
