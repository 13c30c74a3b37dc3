"""Stage report: draw the figures and write the report from what evaluate found."""

from pathlib import Path

from stages.command import run_as_command
from stages.files import write_bytes, write_text
from stages.params import load_params
from stages.reporting.document import render_markdown
from stages.reporting.pictures import draw_pictures
from stages.reporting.results import read_results
from stages.reporting.style import render_png

REPORTS = Path("reports")


def main() -> None:
    """Write every figure, and reports/report.md, which shows them."""
    params = load_params()
    results = read_results()
    texts = {}
    for picture in draw_pictures(results):
        path = REPORTS / "figures" / f"{picture.name}.png"
        write_bytes(path, render_png(picture.figure, params.report.dots_per_inch))
        texts[picture.name] = picture.text
    write_text(REPORTS / "report.md", render_markdown(params, results, texts))


if __name__ == "__main__":
    run_as_command("report", main)
