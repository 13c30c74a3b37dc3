"""The page's part that reads drawings, in a real browser: JavaScript against PyTorch and NumPy."""

import base64
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page

from stages.core.dataset import Pixels, Split, to_floats
from stages.core.files import read_tensors
from stages.core.params import MODELS
from stages.model.checkpoint import Checkpoint
from stages.reporting.draw import describe_network, measure_longer_side
from tests.conftest import BROWSER, Project, build

NO_BROWSER = "no Chromium here: apt-get install chromium"
pytestmark = pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)
COUNT = 200
BARS = "[...document.querySelectorAll('#draw-parts i')].map(bar => parseFloat(bar.style.width))"


@pytest.fixture
def page(browser: Browser, finished: Project) -> Iterator[Page]:
    """The page of the small project, without a network."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto((finished.folder / "reports/index.html").as_uri())
    page.wait_for_function("document.getElementById('draw-status').textContent != ''")
    yield page
    assert page.complaints == []
    context.close()


def _logits(page: Page, model: str, images: torch.Tensor, use_batch: bool) -> torch.Tensor:
    """Return what the page's ``model`` makes of uint8 ``images``, all in one batch."""
    computed = page.evaluate(
        """([model, images, useBatch]) => {
            const grey = Float32Array.from(bytes(images), (value) => value / 255);
            const network = networks.find(([name]) => name === model)[1];
            return [...forward(network, grey, useBatch).logits];
        }""",
        [model, base64.b64encode(images.numpy().tobytes()).decode(), use_batch],
    )
    return torch.tensor(computed).view(-1, 10)


@pytest.mark.parametrize("model", MODELS)
def test_networks_compute_what_pytorch_computed(
    page: Page, finished: Project, test_split: Split, model: str
) -> None:
    path = finished.folder / f"reports/predictions/{model}.safetensors"
    expected = read_tensors(path, "")[0]["logits"][:COUNT]
    found = _logits(page, model, test_split.images[:COUNT], use_batch=False)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


@torch.no_grad()
def test_bn_of_a_batch_computes_what_pytorch_does_in_training(
    page: Page, finished: Project, test_split: Split
) -> None:
    weights, metadata = read_tensors(finished.folder / "models/bn.safetensors", "")
    network = build("batch").train()
    network.load_state_dict(weights)
    images = test_split.images[:COUNT]
    expected = network(Pixels(**metadata["pixels"]).standardize(to_floats(images)))
    found = _logits(page, "bn", images, use_batch=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
    assert (found - _logits(page, "bn", images, use_batch=False)).abs().max() > 0.1


@pytest.mark.parametrize("placement", ["after", "before"])
@pytest.mark.parametrize(("normalization", "parts"), [("batch", 0), ("batch", 16), ("group", 0)])
@torch.no_grad()
def test_any_recipe_computes_what_pytorch_does(
    page: Page, test_split: Split, normalization: str, parts: int, placement: str
) -> None:
    """The ReLU before or after the normalization, and bn trained on parts of its batches."""
    torch.manual_seed(0)
    network = build(normalization, 4, parts, placement=placement).eval()
    for name, values in network.state_dict().items():
        if "norm" in name and values.is_floating_point():
            values.uniform_(0.5, 1.5)  # what is 0 or 1 before any training would hide mistakes
    pixels = Pixels(mean=0.13, std=0.31)
    images = test_split.images[:20]
    found = page.evaluate(
        """([network, images]) => {
            const grey = Float32Array.from(bytes(images), (value) => value / 255);
            return [...forward(readNetwork(network), grey).logits];
        }""",
        [
            describe_network(Checkpoint(network, pixels, {})),
            base64.b64encode(images.numpy().tobytes()).decode(),
        ],
    )
    expected = network(pixels.standardize(to_floats(images)))
    torch.testing.assert_close(torch.tensor(found).view(-1, 10), expected, rtol=1e-3, atol=1e-3)


def test_gn_and_ln_do_not_depend_on_the_batch(page: Page, test_split: Split) -> None:
    images = test_split.images[:20]
    for model in ("gn", "ln"):
        alone = [_logits(page, model, image, use_batch=True) for image in images]
        assert torch.equal(torch.cat(alone), _logits(page, model, images, use_batch=True))


def _draw(page: Page, *places: tuple[float, float]) -> None:
    """Draw a stroke with the mouse through ``places``, shares of the board from its corner."""
    page.locator("#draw-board").scroll_into_view_if_needed()
    box = page.locator("#draw-board").bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=5)
    page.mouse.up()


def _shares(page: Page) -> np.ndarray:
    """Return the three networks' probabilities [3, 10] as the bars show them, in percent."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return np.array(page.evaluate(BARS)).reshape(3, 10)


def test_a_stroke_is_read(page: Page) -> None:
    before = _shares(page)
    _draw(page, (0.5, 0.2), (0.52, 0.8))
    after = _shares(page)
    assert after.sum(axis=1) == pytest.approx([100, 100, 100], abs=0.01)
    assert np.abs(after - before).max() > 10
    assert page.locator("#draw-status").inner_text().count("reads") == 3
    page.locator("#draw-wipe").click()
    assert _shares(page).sum() == 0
    assert page.locator("#draw-status").inner_text() == "Draw a digit."
    assert not page.locator("#draw-maps").is_visible()


@pytest.mark.parametrize("width", [380, 1280])
def test_bars_have_room_under_long_names(page: Page, width: int) -> None:
    """Fashion-MNIST's names stand above their bars, which still show shares of the row's width."""
    page.set_viewport_size({"width": width, "height": 800})
    _draw(page, (0.5, 0.2), (0.52, 0.8))
    shares = _shares(page).flatten()
    page.locator(".draw-models").evaluate("models => models.classList.add('named')")
    sizes = page.evaluate(
        """[...document.querySelectorAll('#draw-parts i')].map((bar) =>
            [bar, bar.parentElement].map((one) => one.getBoundingClientRect().width))"""
    )
    bars, rooms = np.array(sizes).T
    assert rooms.min() > 40
    np.testing.assert_allclose(bars, shares / 100 * rooms, atol=0.1)


def test_a_drawing_is_scaled_and_centred_as_mnist_was(page: Page) -> None:
    """Against sums over the board by cumulative sums, and against what MNIST's files obey."""
    _draw(page, (0.1, 0.3), (0.3, 0.25), (0.15, 0.6), (0.35, 0.62))
    ink, image = page.evaluate(
        """(() => {
            const rgba = pen.getImageData(0, 0, board.width, board.height).data;
            const ink = range(rgba.length / 4).map((i) => rgba[4 * i] / 255);
            return [ink, [...batch.subarray(0, PIXELS)]];
        })()"""
    )
    ink, image = np.reshape(ink, (280, 280)), np.reshape(image, (28, 28))
    rows, columns = ink.any(axis=1).nonzero()[0], ink.any(axis=0).nonzero()[0]
    side = max(np.ptp(rows), np.ptp(columns)) + 1
    edges = [
        first + side / 20 * (np.arange(29) - _first_pixel(ink.sum(axis=axis), first, side / 20))
        for axis, first in ((1, rows[0]), (0, columns[0]))
    ]
    total = _integrate(_integrate(ink, edges[0]).T, edges[1]).T
    np.testing.assert_allclose(image, total * (20 / side) ** 2, atol=1e-5)
    inked = image > 1e-6  # the edges of pixels are rounded
    assert max(inked.any(axis=0).sum(), inked.any(axis=1).sum()) == 20
    centre = [(image.sum(axis=axis) * np.arange(28)).sum() / image.sum() for axis in (0, 1)]
    assert np.abs(np.array(centre) - 14).max() <= 0.5 + 1e-6


def _first_pixel(masses: np.ndarray, first: int, side: float) -> int:
    """Return at which pixel of the image the drawing begins, so that its centre is the 14th's."""
    centre = np.average(np.arange(len(masses)) + 0.5, weights=masses)
    return int(np.floor(14 - ((centre - first) / side - 0.5) + 0.5))


def _integrate(ink: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the sums of the rows of ``ink`` [H, W] between ``edges`` [N + 1]: [N, W]."""
    sums = np.vstack([np.zeros(ink.shape[1]), ink.cumsum(axis=0)])
    places = np.arange(len(sums))
    return np.diff([[np.interp(e, places, column) for column in sums.T] for e in edges], axis=0)


def test_a_drawing_fills_the_image_where_the_test_images_do(page: Page) -> None:
    """Fashion-MNIST's are 28 pixels long: nothing may be cut off, wherever the weight lies."""
    ink = np.zeros((280, 280))
    ink[40:60, 30:170] = 1  # a wide drawing, heavy on its left
    ink[30:90, 30:40] = 1
    found = page.evaluate(
        "ink => [...likeTestImages(Float32Array.from(ink), 280, 28)]", ink.flatten().tolist()
    )
    image = np.reshape(found, (28, 28))
    assert image.sum() == pytest.approx(ink.sum() / 5**2, rel=1e-6)
    assert image.any(axis=0).sum() == 28
    assert image.any(axis=1).sum() == 12


def test_longer_sides(test_split: Split) -> None:
    assert measure_longer_side(test_split.images) == 20
    images = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    images[0, 0, 3, 5:9] = 1
    images[1, 0, 2, 2] = images[1, 0, 12, 4] = 255
    images[2, 0] = 7
    assert measure_longer_side(images) == 11


def test_changes_are_those_of_their_definitions(page: Page, test_split: Split) -> None:
    images = test_split.images[:3].float().div(255)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    found = page.evaluate(
        """([images, noise]) => [...change(Float32Array.from(images),
            {contrast: 0.3, brightness: 0.2, noise: 0.25}, Float32Array.from(noise))]""",
        [images.flatten().tolist(), noise.flatten().tolist()],
    )
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    expected = (mean + 0.3 * (images - mean) + 0.2 + 0.25 * noise).clamp(0, 1)
    torch.testing.assert_close(torch.tensor(found).view_as(images), expected, rtol=0, atol=1e-5)


def test_noise_is_normal(page: Page) -> None:
    numbers = np.array(page.evaluate("[...normals(100000)]"))
    assert abs(numbers.mean()) < 0.02
    assert abs(numbers.std() - 1) < 0.02
    assert abs((np.abs(numbers) < 1).mean() - 0.6827) < 0.01


def test_keyboard_picks_images_and_changes_them(page: Page, test_split: Split) -> None:
    """Arrows go through the images; what the page shows of one is what the networks compute."""
    page.locator("[name=draw-pick]").first.focus()
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    index = page.evaluate("data.indices[picks.findIndex((one) => one.checked)]")
    assert index == int((test_split.labels == 1).nonzero().flatten()[2])
    image = test_split.images[index : index + 1]
    for row, model in zip(_shares(page), MODELS, strict=True):
        expected = _logits(page, model, image, use_batch=False).softmax(dim=1)[0]
        assert row == pytest.approx(100 * expected.numpy(), abs=0.01)
    page.locator("#draw-noise").focus()
    page.keyboard.press("End")
    unchanged, changed = image[0, 0].numpy() / 255, _seen(page)
    assert np.abs(changed - unchanged).max() > 0.5


def _seen(page: Page) -> np.ndarray:
    """Return the image that the page shows as the one the networks see, from 0 to 1."""
    _shares(page)
    view = """(() => { const view = document.getElementById("draw-view");
        return [...view.getContext("2d").getImageData(0, 0, 28, 28).data]; })()"""
    return np.reshape(page.evaluate(view), (28, 28, 4))[..., 0] / 255


def test_counts_are_those_of_the_test_images(page: Page, test_split: Split) -> None:
    page.wait_for_function("document.getElementById('draw-ln-right').textContent != ''")
    indices = page.evaluate("data.indices")
    labels = test_split.labels[indices]
    assert labels.bincount().tolist() == [5] * 10
    for model in MODELS:
        logits = _logits(page, model, test_split.images[indices], use_batch=False)
        right = int((logits.argmax(dim=1) == labels).sum())
        shown = page.locator(f"#draw-{model}-right").inner_text()
        assert shown == f"{right} of 50"


def test_the_switch_changes_bn_alone(page: Page) -> None:
    page.locator("#draw-presets button").nth(1).click()
    running = _shares(page)
    page.locator("#draw-batch").check()
    batch = _shares(page)
    assert np.abs(batch[0] - running[0]).max() > 1
    np.testing.assert_array_equal(batch[1:], running[1:])


def test_maps_show_the_chosen_block(page: Page) -> None:
    """Block 4 has 16 channels of 8 x 8, in four rows with a line between maps."""
    page.locator("#draw-block").select_option("3")
    _shares(page)
    size = page.evaluate("[element('gn-after').width, element('gn-after').height]")
    assert size == [4 * 9 - 1, 4 * 9 - 1]
    mean, variance = page.evaluate(
        """(() => {
            const [, ln] = networks[2], {before} = forward(ln, batch.subarray(0, PIXELS)).blocks[3];
            const {mean, variance} = moments([before.data]);
            return [mean, variance];
        })()"""
    )
    text = page.locator("#draw-ln-before-text").inner_text()
    assert text == f"mean {mean:.2f}, deviation {variance**0.5:.2f}".replace("-", "\u2212")


def test_without_javascript_the_rest_stays(browser: Browser, finished: Project) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((finished.folder / "reports/index.html").as_uri())
    assert page.locator("noscript").is_visible()
    assert not page.locator("#draw-parts").is_visible()
    assert not page.locator("#example").is_visible()
    assert page.locator("#result-table").is_visible()
    context.close()
