"""The report as documents: templates filled with the findings and the pictures."""

import base64
import re
from pathlib import Path
from statistics import mean, stdev

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from torchvision.io import encode_png

from stages.analysis.findings import Findings
from stages.analysis.mistakes import SHOWN
from stages.core.dataset import Split
from stages.core.params import MODELS, flatten
from stages.evaluation.activations import NUM_IMAGES
from stages.records.declaration import text_of
from stages.records.summary import list_seeds
from stages.reporting import sentences
from stages.reporting.draw import describe_drawing
from stages.reporting.figures.gallery import Picture
from stages.reporting.figures.style import COLOURS, NAMES, render_svg
from stages.reporting.figures.worked_example import FILLS
from stages.reporting.formats import counted, format_points, format_share
from stages.reporting.provenance import describe_report, join_software, read_pins
from stages.reporting.words import WORDS, name_shift

_TEMPLATES = Path(__file__).parent / "templates"


def render_markdown(findings: Findings, pictures: list[Picture]) -> str:
    """Fill the template of reports/report.md, which shows the figures as files."""
    return _render("report.md.j2", findings, pictures)


def render_page(findings: Findings, pictures: list[Picture]) -> str:
    """Fill the template of reports/index.html, which holds everything in itself."""
    page = _render("index.html.j2", findings, pictures)
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", page)  # else lines begin with a %


def _render(template: str, findings: Findings, pictures: list[Picture]) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    inputs, words = findings.inputs, WORDS[findings.params.data.name]
    margin = findings.params.report.equivalence_margin / 100
    environment.filters |= {
        "percent": format_share,
        "points": format_points,
        "as_yaml": text_of,
        "listed": list_seeds,
        "counted": counted,
        "shift": name_shift,
        "shifted": sentences.tell_shifted,
        "difference": sentences.describe_difference,
        "call": sentences.call,
        "first_upper": lambda text: text[0].upper() + text[1:],
        "mean": mean,
        "deviation": stdev,
        "table": sentences.tabulate,
    }
    environment.globals |= {
        "svg": lambda picture: Markup(render_svg(picture.figure, picture.text)),
        "image": lambda index: _data_uri(inputs.test, index),
        "tell": sentences,
    }
    return environment.get_template(template).render(
        **vars(findings),
        **{name: x for name, x in vars(inputs).items() if name not in vars(findings)},
        findings=findings,
        words=words,
        margin=margin,
        drawing=describe_drawing(inputs.checkpoints, inputs.test, words),
        advice_rows=[(x, *sentences.tell_advice(x, margin)) for x in findings.advice],
        trained_with=join_software(inputs.software),
        packages=describe_report(),
        pins=read_pins(),
        models=MODELS,
        names=NAMES,
        colours=COLOURS,
        fills=FILLS,
        parameters=flatten(findings.params.model_dump()),
        pictures={picture.name: picture for picture in pictures},
        shown=SHOWN,
        num_observed=min(NUM_IMAGES, len(inputs.test)),
    )


def _data_uri(split: Split, index: int) -> Markup:
    """Return an image of ``split``, dark on white, as a PNG in a data URI."""
    png = bytes(encode_png(255 - split.images[index]).numpy())
    return Markup("data:image/png;base64,") + base64.b64encode(png).decode()
