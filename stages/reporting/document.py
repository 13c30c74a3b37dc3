"""The report as documents: templates filled with the findings and the pictures."""

import base64
import re
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from torchvision.io import encode_png

from stages.analysis.advice import list_first
from stages.analysis.findings import Findings
from stages.analysis.mistakes import SHOWN
from stages.core.dataset import Split
from stages.core.params import MODELS, flatten
from stages.evaluation import interventions
from stages.records.declaration import text_of
from stages.records.results import CHANCE
from stages.reporting import questions, sentences, tables, why
from stages.reporting.draw import describe_drawing
from stages.reporting.figures.gallery import Picture
from stages.reporting.figures.style import COLOURS, NAMES, render_svg
from stages.reporting.formats import capitalized, counted, format_share
from stages.reporting.provenance import join_software, read_pins
from stages.reporting.words import WORDS, define_shifts, define_training

_TEMPLATES = Path(__file__).parent / "templates"
_PACKAGES = ("matplotlib", "scipy", "statsmodels", "jinja2", "dvc")  # they decide the report's bits
_BREAKS = re.compile(r"(?<=\d) (?=%)|(?<=\bp) (?=[=<&])|(?<=\bp =) |(?<=\bp &lt;) ")


def render_markdown(findings: Findings, pictures: list[Picture]) -> str:
    """Fill the template of reports/report.md, which shows the figures as files."""
    text = _render("report.md.j2", findings, pictures)
    return re.sub(r"\n{3,}", "\n\n", text)


def render_page(findings: Findings, pictures: list[Picture]) -> str:
    """Fill the template of reports/index.html, which holds everything in itself."""
    page = _render("index.html.j2", findings, pictures)
    return _BREAKS.sub("\N{NO-BREAK SPACE}", page)  # else lines begin with a %


def _render(template: str, findings: Findings, pictures: list[Picture]) -> str:
    is_page = ".html." in template
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=is_page,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    params, inputs = findings.params, findings.inputs
    words = WORDS[params.data.name]
    environment.filters |= {
        "percent": format_share,
        "as_yaml": text_of,
        "counted": counted,
        "capitalized": capitalized,
    }
    environment.globals |= {
        "questions": questions,
        "tell": sentences,
        "tables": tables,
        "list_first": list_first,
        "why": why,
        "define_shifts": define_shifts,
        "define_training": define_training,
        "svg": lambda picture: Markup(render_svg(picture.figure, picture.text)),
        "image": lambda index: _data_uri(inputs.test, index),
        **{name: x for name, x in vars(inputs).items() if name != "studies"},
        **vars(findings),
        "findings": findings,
        "words": words,
        "margin": params.report.equivalence_margin / 100,
        "averages": params.train.weight_average > 0,
        "chance": CHANCE,
        "is_page": is_page,
        "pictures": {picture.name: picture for picture in pictures},
        "models": MODELS,
        "names": NAMES,
        "colours": COLOURS,
        "num_recomputed": interventions.NUM_IMAGES,
        # One image at a time is instance normalization: see learns_nothing in model/network.py.
        "pool_reads_shifts": params.network.placement == "after" and not params.network.skip,
        "shown": SHOWN,
        "drawing": describe_drawing(inputs, findings.shifts, words) if is_page else None,
        "parameters": flatten(params.model_dump()),
        "software": {
            **join_software([one.software for one in inputs.checkpoints.values()]),
            "threads of a training": params.train.threads,
            **{name: version(name) for name in _PACKAGES},
        },
        "pins": read_pins(),
    }
    return environment.get_template(template).render()


def _data_uri(split: Split, index: int) -> Markup:
    """Return an image of ``split``, dark on white, as a PNG in a data URI."""
    png = bytes(encode_png(255 - split.images[index]).numpy())
    return Markup("data:image/png;base64,") + base64.b64encode(png).decode()
