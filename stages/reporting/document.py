"""The report as documents: templates filled with the findings and the pictures."""

import base64
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from torchvision.io import encode_png

from stages.core.dataset import Split
from stages.core.params import MODELS, flatten
from stages.evaluation.activations import NUM_IMAGES
from stages.records.declaration import text_of
from stages.records.summary import list_seeds
from stages.reporting.claims import format_points, format_share
from stages.reporting.figures.gallery import Picture
from stages.reporting.figures.style import COLOURS, NAMES, render_svg
from stages.reporting.figures.worked_example import FILLS
from stages.reporting.findings import Findings
from stages.reporting.mistakes import SHOWN

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
    test = findings.results.test
    environment.filters |= {
        "percent": format_share,
        "points": format_points,
        "as_yaml": text_of,
        "listed": list_seeds,
        "counted": lambda number, noun: f"{number} {noun}{'s' * (number != 1)}",
    }
    environment.globals |= {
        "svg": lambda picture: Markup(render_svg(picture.figure, picture.text)),
        "image": lambda index: _data_uri(test, index),
    }
    return environment.get_template(template).render(
        **vars(findings),
        models=MODELS,
        names=NAMES,
        colours=COLOURS,
        fills=FILLS,
        parameters=flatten(findings.params.model_dump()),
        pictures={picture.name: picture for picture in pictures},
        shown=SHOWN,
        num_observed=min(NUM_IMAGES, len(test)),
    )


def _data_uri(split: Split, index: int) -> Markup:
    """Return an image of ``split``, dark on white, as a PNG in a data URI."""
    png = bytes(encode_png(255 - split.images[index]).numpy())
    return Markup("data:image/png;base64,") + base64.b64encode(png).decode()
