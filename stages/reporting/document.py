"""The report as a document: templates filled with numbers, none of them typed in."""

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.params import MODELS, Params
from stages.reporting.results import Results
from stages.reporting.style import NAMES

_TEMPLATES = Path(__file__).parent / "templates"


def render_markdown(params: Params, results: Results, texts: Mapping[str, str]) -> str:
    """Fill the template of reports/report.md.

    Args:
        params: what the models were trained with.
        results: what came of it.
        texts: the text of each figure by its name.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = lambda share, digits=2: f"{100 * share:.{digits}f} %"
    return environment.get_template("report.md.j2").render(
        models=MODELS,
        names=NAMES,
        params=params,
        results=results,
        followed=results.histories["bn"][0].followed_split,
        texts=texts,
    )
