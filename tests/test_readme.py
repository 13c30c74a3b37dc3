"""The README says what is so: its numbers, links and commands are checked against their sources."""

import re

import pytest

from tests.conftest import ROOT

PAGES = ("README.md", "data/README.md", "reports/report.md")
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
    text = (ROOT / source).read_text()
    copied = [line for line in lines.splitlines() if line.strip()]
    assert copied
    missing = [line for line in copied if line not in text]
    assert missing == [], f"README.md differs from {source}: copy these lines anew"


def test_numbers_have_sources() -> None:
    sources = re.findall(r"<!-- from (\S+) -->", README)
    assert {"reports/report.md", "reports/benchmark.md"} <= set(sources)


def test_commands_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make (\w+)", README)) <= targets
    stages = set(re.findall(r"^  ([a-z-]+):\n    desc", (ROOT / "dvc.yaml").read_text(), re.M))
    assert stages <= set(re.findall(r"`([a-z-]+)`", README))


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 140
