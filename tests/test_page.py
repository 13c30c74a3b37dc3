"""reports/index.html as committed, in a real browser."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from stages.core.params import MODELS
from tests.conftest import BROWSER, OPEN_ALL, ROOT

PAGE = ROOT / "reports/index.html"
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium"),
    pytest.mark.skipif(not PAGE.exists(), reason="no report here: make repro"),
]
SITUATIONS = [(1280, "light"), (380, "dark")]  # a scheme changes nothing but colours


@contextmanager
def _opened(browser: Browser, width: int = 1280, scheme: str = "light") -> Iterator[Page]:
    """The page, without a network."""
    viewport = {"width": width, "height": 800}
    context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.requests, page.complaints = [], []
    page.on("request", lambda sent: page.requests.append(sent.url))
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(PAGE.as_uri())
    yield page
    context.close()


@pytest.fixture(scope="module", params=SITUATIONS)
def any_page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """As it is when it opens."""
    with _opened(browser, *request.param) as page:
        yield page


@pytest.fixture(scope="module", params=SITUATIONS)
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """With all of it open."""
    with _opened(browser, *request.param) as page:
        page.evaluate(OPEN_ALL)
        yield page


def test_it_needs_nothing_but_itself(any_page: Page) -> None:
    inside = "data:", "blob:"  # pictures, and the worker
    sent = [url for url in any_page.requests if not url.startswith(inside)]
    assert sent == [PAGE.as_uri()]
    assert any_page.complaints == []


def test_nothing_overflows_at_any_width(browser: Browser) -> None:
    with _opened(browser) as page:
        for width in (320, 380, 540, 760, 1024, 1280, 1600):
            page.set_viewport_size({"width": width, "height": 800})
            assert _too_wide(page, width) == [], f"at {width} px"
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def _too_wide(page: Page, width: int) -> list[str]:
    """Return the beginnings of the elements that reach beyond ``width``."""
    return page.evaluate(
        """width => [...document.querySelectorAll("body *")]
            .filter(element => element.getBoundingClientRect().right > width + 0.5)
            .map(element => element.outerHTML.slice(0, 80))""",
        width,
    )


def test_every_picture_has_a_size(page: Page) -> None:
    pictures = page.evaluate(
        """[...document.querySelectorAll("img, svg[role=img]")].map(picture => [
            picture.getBoundingClientRect().width, picture.getBoundingClientRect().height,
            picture.tagName == "IMG" ? picture.naturalWidth : 28,
        ])"""
    )
    assert len(pictures) > 60
    assert all(width >= 28 <= height and own == 28 for width, height, own in pictures)
    assert page.locator("svg:not([role=img])").count() == 0


def test_answer_is_on_the_first_screen(any_page: Page) -> None:
    any_page.evaluate("scrollTo(0, 0)")
    answer = any_page.locator(".answer").bounding_box()
    assert answer["y"] + answer["height"] <= any_page.viewport_size["height"]
    assert any_page.locator(".answer").inner_text().startswith("Use ")


def test_table_shows_the_metrics(page: Page) -> None:
    for number, model in enumerate(MODELS, start=1):
        metrics = json.loads((ROOT / f"reports/metrics/{model}.json").read_text())
        row = page.locator(f"#result-table tbody tr:nth-child({number})")
        assert row.locator("td:first-child").inner_text() == model
        wanted = {
            "test accuracy": f"{100 * metrics['test_accuracy']:.2f}\N{NO-BREAK SPACE}%",
            "errors": str(metrics["errors"]),
            "test loss": f"{metrics['test_loss']:.4f}",
            "train accuracy": f"{100 * metrics['train_accuracy']:.2f}\N{NO-BREAK SPACE}%",
            "gap": f"{100 * metrics['accuracy_gap']:.2f} points",
            "parameters": str(metrics["parameters"]),
        }
        shown = {x: row.locator(f"td[data-label='{x}']").inner_text() for x in wanted}
        assert shown == wanted


def test_contents_list_every_part(page: Page) -> None:
    links = page.locator("nav a").evaluate_all("all => all.map(a => [a.hash, a.textContent])")
    parts = page.locator("h2").evaluate_all("all => all.map(h2 => ['#' + h2.id, h2.textContent])")
    assert links == parts


def test_readings_stay_in_view(any_page: Page) -> None:
    """Whoever moves a control on a phone sees what the networks then read."""
    status = any_page.locator("#draw-status")
    for control in ("#draw-presets", "#draw-noise", "#draw-board"):
        any_page.locator(control).evaluate("one => one.scrollIntoView({block: 'center'})")
        box = status.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= any_page.viewport_size["height"]


def test_axe_finds_no_violation(page: Page) -> None:
    """WCAG and good practice, by axe-core."""
    found = Axe().run(page).response
    assert [(one["id"], one["nodes"][0]["html"][:100]) for one in found["violations"]] == []
    assert len(found["passes"]) > 20


class _Strict(SimpleHTTPRequestHandler):
    """Serves files as some build servers do: without the page's own styles, scripts, pictures."""

    def end_headers(self) -> None:
        policy = "sandbox; default-src 'none'; img-src 'self'; style-src 'self'"
        self.send_header("Content-Security-Policy", policy)
        super().end_headers()


def test_served_strictly_it_has_links_for_figures(browser: Browser) -> None:
    handler = partial(_Strict, directory=PAGE.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/{PAGE.name}")
        page.evaluate(OPEN_ALL)
        links = page.locator("figure a:visible")
        files = [PAGE.parent / one.get_attribute("href") for one in links.all()]
        assert len(files) == page.locator("figure svg").count() > 10
        assert [file for file in files if not file.is_file()] == []
        assert page.locator("svg:visible").count() == 0  # they would be black boxes
        assert page.locator(".answer").is_visible()
        links.first.click()
        assert page.locator("img").evaluate("image => image.naturalWidth") > 100
        page.close()
        server.shutdown()


def test_it_is_small() -> None:
    assert PAGE.stat().st_size < 6_000_000
