"""Stage report: draw the figures and write the report from what evaluate found."""

from pathlib import Path

from stages.command import run_as_command
from stages.files import write_bytes, write_text
from stages.params import load_params
from stages.reporting.document import render_markdown, render_page
from stages.reporting.pictures import draw_pictures
from stages.reporting.results import read_results
from stages.reporting.seeds import read_seeds
from stages.reporting.style import render_png

REPORTS = Path("reports")


def main() -> None:
    """Write every figure, and the report that shows them, for a git host and as a page."""
    params = load_params()
    results, seeds = read_results(), read_seeds(params)
    pictures = draw_pictures(results)
    for picture in pictures:
        content = render_png(picture.figure, params.report.dots_per_inch)
        write_bytes(REPORTS / "figures" / f"{picture.name}.png", content)
    write_text(REPORTS / "report.md", render_markdown(params, results, seeds, pictures))
    write_text(REPORTS / "index.html", render_page(params, results, seeds, pictures))


if __name__ == "__main__":
    run_as_command("report", main)
