"""Stage report: draw the figures and write the report from what evaluate found."""

import json
import warnings
from pathlib import Path

from stages.analysis.findings import judge
from stages.analysis.inputs import read_inputs
from stages.core.files import write_bytes
from stages.core.inputs import unchanged_inputs
from stages.core.params import load_params
from stages.core.process import run_as_command
from stages.reporting.document import render_markdown, render_page
from stages.reporting.figures.gallery import draw_pictures
from stages.reporting.figures.style import render_png
from stages.reporting.sentences import tell_failure
from stages.reporting.verdicts import list_verdicts, render_comparisons

REPORTS = Path("reports")


def main() -> None:
    """Write the findings, every figure, and the report: for a git host, and as a page."""
    _let_warnings_pass()
    with unchanged_inputs("report"):
        _report()


def _report() -> None:
    params = load_params()
    findings = judge(params, read_inputs(params))
    for model, why in findings.failures.items():
        print(f"{model} did not learn: {tell_failure(why)}")
    pictures = draw_pictures(findings)
    dots_per_inch = params.report.dots_per_inch
    # All is made before anything is written, so there is either a whole new report or the old one.
    files = {
        "report.md": render_markdown(findings, pictures).encode(),
        "index.html": render_page(findings, pictures).encode(),
        "findings.json": json.dumps(list_verdicts(findings), indent=2).encode() + b"\n",
        "findings.csv": render_comparisons(findings).encode(),
        **{f"figures/{p.name}.png": render_png(p.figure, dots_per_inch) for p in pictures},
    }
    for name, content in files.items():
        write_bytes(REPORTS / name, content)


def _let_warnings_pass() -> None:
    """Treat warnings as Python does by default, so that PYTHONWARNINGS=error cannot end a report.

    A library's deprecations are not the user's fault, and change nothing in the report.
    """
    warnings.simplefilter("default")
    warnings.simplefilter("ignore", DeprecationWarning)


if __name__ == "__main__":
    run_as_command("report", main)
