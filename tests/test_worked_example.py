import json
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page

from stages.analysis.worked_example import CHANNELS_PER_GROUP, find_shared_statistics, read_example
from stages.core.errors import PipelineError
from stages.model.normalization import NORMALIZATIONS, Normalization
from tests.conftest import BROWSER, ROOT, Project

EXAMPLE = ROOT / "data/worked_example.json"


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_found_statistics_are_the_examples(normalization: str) -> None:
    expected = json.loads(EXAMPLE.read_text())[normalization]
    layer = Normalization(normalization, CHANNELS_PER_GROUP).layer(4)
    sets = find_shared_statistics(layer, read_example(EXAMPLE))
    for name, key in (("mean", "mean"), ("variance", "population_variance")):
        values = torch.tensor(expected[key]).flatten().tolist()
        assert [getattr(one, name) for one in sets] == pytest.approx(values, abs=1e-9)


def test_found_sets_share_what_the_definitions_say() -> None:
    index = torch.stack(torch.meshgrid(*map(torch.arange, (4, 4, 2, 2)), indexing="ij"))
    image, channel = index[0], index[1]
    definitions = {"batch": channel, "layer": image, "group": image * 2 + channel // 2}
    for normalization, key in definitions.items():
        layer = Normalization(normalization, CHANNELS_PER_GROUP).layer(4)
        sets = find_shared_statistics(layer, read_example(EXAMPLE))
        assert len(sets) == len(key.unique())
        for number, one in enumerate(sets):
            assert torch.equal(one.elements, key == number)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"images": [[1]]}', b'{"images": "x"}'])
def test_foreign_example(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "example.json"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"example\.json .*git checkout"):
        read_example(path)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")
def test_page_normalizes_changed_numbers_as_pytorch_does(
    browser: Browser, finished: Project
) -> None:
    page = browser.new_page()
    page.goto((finished.folder / "reports/index.html").as_uri())
    images = read_example(EXAMPLE)
    assert page.locator("#example figcaption").first.inner_text() == "mean \u22120.19\nvar. 3.03"
    page.get_by_label("image 2, channel 3, row 2, column 1").fill("-2.5")
    images[1, 2, 1, 0] = -2.5
    for model, groups in (("bn", 4), ("gn", 1), ("gn", 2), ("gn", 4), ("ln", 1)):
        page.locator(f"#example [value={model}]").check()
        if model == "gn":
            page.locator("#example-groups").select_option(str(groups))
        layer = torch.nn.BatchNorm2d(4) if model == "bn" else torch.nn.GroupNorm(groups, 4)
        shown = [float(x.replace("\u2212", "-")) for x in _texts(page, "#example figure output")]
        expected = layer.double()(images).detach()
        assert shown == pytest.approx(expected.flatten().tolist(), abs=0.00501)
        looks = page.locator("#example figure").evaluate_all("all => all.map(x => x.style.cssText)")
        assert len(set(looks)) == (4 if model == "bn" else 4 * groups)
    page.get_by_role("button", name="Restore the numbers").click()
    assert page.locator("#example [value=ln]:checked").count() == 1  # the method stays
    assert page.get_by_label("image 2, channel 3, row 2, column 1").input_value() == "-2"
    page.close()


def _texts(page: Page, query: str) -> list[str]:
    return page.locator(query).all_inner_texts()
