"""The README says what is so: its numbers, links and commands are checked against their sources."""

import csv
import itertools
import json
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import networkx
import pytest
from dvc.cli.parser import get_main_parser

from stages.core.params import load_params
from stages.records.declaration import read_studies
from stages.records.record import read_rows
from stages.records.results import collect
from stages.records.summary import summarize
from tests.benchmarks.__main__ import render
from tests.conftest import ROOT

PAGES = ("README.md", "data/README.md", "reports/report.md", "reports/studies/README.md")
STUDIES = read_studies(ROOT / "studies.yaml")
RECORDS = ROOT / "reports/studies"
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
    assert targets
    here = [target for target in targets if "://" not in target]
    assert [t for t in here if not ((ROOT / page).parent / t).exists()] == []


@pytest.mark.parametrize(
    ("source", "lines"),
    re.findall(r"<!-- from (\S+) -->\n(.*?)<!-- end -->", README, re.DOTALL),
)
def test_numbers_are_those_of_their_source(source: str, lines: str) -> None:
    """Of the source as it is, or as it was committed: a run elsewhere gives other last digits."""
    committed = subprocess.run(
        ["git", "-C", str(ROOT), "show", f"HEAD:{source}"], capture_output=True, text=True
    )
    text = (ROOT / source).read_text() + committed.stdout
    copied = [line for line in lines.splitlines() if line.strip()]
    assert copied
    missing = [line for line in copied if line not in text]
    assert missing == [], f"README.md differs from {source}: copy these lines anew"


@pytest.mark.parametrize("page", sorted([*PAGES, *map(str, RECORDS.glob("*.md"))]))
def test_tables_are_whole(page: str) -> None:
    """Each run of table lines begins with a header and the line under it, as wide as the others."""
    for run in re.findall(r"(?:^\|.*\n?)+", (ROOT / page).read_text(), re.MULTILINE):
        _, rule, *rows = run.splitlines()
        assert re.fullmatch(r"(\|[-: ]+)+\|", rule), run
        assert {row.count("|") for row in rows} == {rule.count("|")}, run


@pytest.mark.parametrize("name", [path.stem for path in RECORDS.glob("[a-z]*.md")])
def test_summaries_are_of_their_records(name: str, tmp_path: Path) -> None:
    """Upon the parameters as they are, or as they were committed."""
    study, committed = STUDIES[name], tmp_path / "params.yaml"
    show = ["git", "-C", str(ROOT), "show", "HEAD:params.yaml"]
    committed.write_bytes(subprocess.run(show, check=True, capture_output=True).stdout)
    rows = read_rows(ROOT / study.record)
    assert (ROOT / study.record).with_suffix(".md").read_text() in [
        summarize(collect(study, load_params(path), rows))
        for path in (ROOT / "params.yaml", committed)
    ]


def test_every_column_and_study_of_the_records_is_explained() -> None:
    explained = set(re.findall(r"`([\w.-]+)`", (RECORDS / "README.md").read_text()))
    headers = [path.read_text().partition("\n")[0].split(",") for path in RECORDS.glob("*.csv")]
    columns = {column for header in headers for column in header if "." not in column}
    assert {"recipe", "accuracy"} <= columns
    assert (columns | set(STUDIES)) - explained == set()


def test_readme_lists_the_studies() -> None:
    listed = re.findall(r"(?m)^\| `([a-z0-9-]+)` \| (.*\?) \| \d+ \|$", README)
    assert listed == [(study.name, study.question) for study in STUDIES.values()]


def test_diagram_is_what_dvc_draws_without_shortcuts() -> None:
    dag = subprocess.run(
        [sys.executable, "-m", "dvc", "dag", "--mermaid"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = dict(re.findall(r'(node\d+)\["([\w-]+)"\]', dag))
    edges = [(names[a], names[b]) for a, b in re.findall(r"(node\d+)-->(node\d+)", dag)]
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", README, re.DOTALL)
    chains = [line.split(" --> ") for line in diagram.strip().splitlines()[1:]]
    drawn = {(a.strip(), b) for chain in chains for a, b in itertools.pairwise(chain)}
    assert drawn == set(networkx.transitive_reduction(networkx.DiGraph(edges)).edges)


def test_readme_quotes_where_the_bytes_were_verified() -> None:
    quoted = re.findall(r"(?m)^  \| (.+) \| ([\d.]+) \| (yes|no) \|$", README)
    with (ROOT / "reports/bytes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert quoted == [(row["processor"], row["python"], row["equal"]) for row in rows]


def test_benchmarks_table_is_of_its_figures() -> None:
    figures = json.loads((ROOT / "reports/benchmark.json").read_text())
    assert (ROOT / "reports/benchmark.md").read_text() == render(figures)


def _commands() -> set[str]:
    """Return what README and CONTRIBUTING show as commands: in backticks, or a line of a block."""
    text = "".join((ROOT / page).read_text() for page in ("README.md", "CONTRIBUTING.md"))
    blocks = re.findall(r"```(?:console)?\n(.*?)```", text, re.DOTALL)
    found = re.findall(r"^(?:\$ )?((?:dvc|git|make|pip|python|ray) .*)", "".join(blocks), re.M)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found += re.findall(r"`([a-z-]+\s[^`]+)`", prose)
    groups = {"dvc metrics", "dvc plots"}
    return {part.strip() for span in found for part in span.split("&&")} - groups


@pytest.mark.parametrize("command", sorted(_commands()))
def test_commands_exist(command: str) -> None:
    """All that can be said of one without running it: most take minutes, or change something."""
    program, *words = shlex.split(command, comments=True)
    if program == "make":
        run = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    elif program == "dvc":
        get_main_parser().parse_args(words)
    elif program == "git":
        assert subprocess.run(["git", words[0], "-h"], capture_output=True).returncode == 129
    elif program == "python":
        assert find_spec(words[1])
    elif words[0] == "-r":
        assert (ROOT / words[1]).exists()
    else:
        assert program in ("pip", "ray", "source"), f"{program} is in no requirements file"
