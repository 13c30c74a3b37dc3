import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page

from stages.analysis.worked_example import CHANNELS_PER_GROUP, read_example, share_statistics
from stages.core.errors import PipelineError
from stages.model.normalization import NORMALIZATIONS, Normalization
from tests.conftest import BROWSER, OPEN_ALL, ROOT, Project

EXAMPLE = ROOT / "data/worked_example.json"


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_shared_statistics_are_the_examples(normalization: str) -> None:
    expected = json.loads(EXAMPLE.read_text())[normalization]
    sets = share_statistics(read_example(EXAMPLE), normalization)
    for name, key in (("mean", "mean"), ("variance", "population_variance")):
        values = torch.tensor(expected[key]).flatten().tolist()
        assert [getattr(one, name) for one in sets] == pytest.approx(values, abs=1e-9)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_layers_share_these_statistics(normalization: str) -> None:
    images = read_example(EXAMPLE)
    layer = Normalization(normalization, CHANNELS_PER_GROUP).layer(4).double()
    expected = torch.full_like(images, torch.nan)
    for one in share_statistics(images, normalization):
        values = images[one.elements]
        expected[one.elements] = (values - one.mean) / (one.variance + layer.eps) ** 0.5
    torch.testing.assert_close(layer(images).detach(), expected)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"images": [[1]]}', b'{"images": "x"}'])
def test_foreign_example(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "example.json"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"example\.json .*git checkout"):
        read_example(path)


@pytest.fixture
def page(browser: Browser, finished: Project) -> Iterator[Page]:
    if BROWSER is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    page = browser.new_page()
    page.goto((finished.folder / "reports/index.html").as_uri())
    page.evaluate(OPEN_ALL)
    yield page
    page.close()


def test_page_normalizes_changed_numbers_as_pytorch_does(page: Page) -> None:
    images = read_example(EXAMPLE)
    assert page.locator("#example figcaption").first.inner_text() == "mean \u22120.19\nvar. 3.03"
    page.get_by_label("image 2, channel 3, row 2, column 1").fill("-2.5")
    images[1, 2, 1, 0] = -2.5
    for model, groups in (("bn", 4), ("gn", 1), ("gn", 2), ("gn", 4), ("ln", 1)):
        page.locator(f"#example [value={model}]").check()
        if model == "gn":
            page.locator("#example-groups").select_option(str(groups))
        layer = torch.nn.BatchNorm2d(4) if model == "bn" else torch.nn.GroupNorm(groups, 4)
        expected, before = (
            layer.double()(x).detach().flatten() for x in (images, read_example(EXAMPLE))
        )
        assert _results(page) == pytest.approx(expected.tolist(), abs=0.00501)
        marks = page.locator("#example output").evaluate_all("all => all.map(x => x.className)")
        moved = (expected - before).abs() > 0.005
        assert [mark == "moved" for mark in marks] == moved.tolist()
        note = page.locator("#example-note").inner_text()
        assert note.startswith(f"{int(moved.sum())} of 64 results moved")
        assert note.endswith("in image 2." if model != "bn" else "in image 1, 2, 3, 4.")
        looks = page.locator("#example figure").evaluate_all("all => all.map(x => x.style.cssText)")
        assert len(set(looks)) == (4 if model == "bn" else 4 * groups)
    page.get_by_role("button", name="Restore the numbers").click()
    assert page.locator("#example [value=ln]:checked").count() == 1  # the method stays
    assert page.get_by_label("image 2, channel 3, row 2, column 1").input_value() == "-2"
    assert page.locator("#example-note").inner_text() == ""


@pytest.mark.parametrize(
    ("text", "taken"),
    [("1,5", 1.5), ("\u22122.5", -2.5), (" 99 ", 99)]
    + [(text, None) for text in ("", " ", "abc", "1e40", "-99.5", "1,2,3", "NaN")],
)
def test_what_is_no_number_changes_nothing_and_is_said(
    page: Page, text: str, taken: float | None
) -> None:
    cell = page.get_by_label("image 1, channel 2, row 1, column 1")
    before = _results(page)
    cell.fill(text)
    images = read_example(EXAMPLE)
    images[0, 1, 0, 0] = taken or 0
    expected = torch.nn.BatchNorm2d(4).double()(images).detach().flatten().tolist()
    assert _results(page) == (before if taken is None else pytest.approx(expected, abs=0.00501))
    assert cell.get_attribute("aria-invalid") == ("true" if taken is None else "false")
    note = page.locator("#example-note").inner_text()
    assert ("image 1, channel 2, row 1, column 1: write a number" in note) == (taken is None)


def test_each_number_shows_its_formula(page: Page) -> None:
    """On focus and under the pointer: by hand, channel 2 has the mean -0.1875 and variance 4.28."""
    page.get_by_label("image 1, channel 2, row 1, column 1").focus()
    formula = page.locator("#example-formula")
    assert "channel 2" in formula.inner_text()
    assert formula.inner_text().endswith("(3.00 \u2212 (\u22120.19)) / \u221a4.28 = 1.54")
    page.locator("#example output").nth(16).hover()
    assert "image 2, channel 1, row 1, column 1" in formula.inner_text()


def _results(page: Page) -> list[float]:
    texts = page.locator("#example figure output").all_inner_texts()
    return [float(text.replace("\u2212", "-")) for text in texts]
