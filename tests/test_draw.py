"""The page's part that reads drawings, in a real browser: JavaScript against PyTorch and NumPy."""

import base64
import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page
from torch import nn

from stages import report
from stages.analysis.ensembles import Ensemble, find_typical, read_ensembles
from stages.analysis.inputs import read_records
from stages.core.dataset import Pixels, Split, read_split, to_floats
from stages.core.errors import PipelineError
from stages.core.files import read_tensors
from stages.core.params import MODELS, Params, load_params
from stages.core.recipe import Recipe
from stages.evaluation.shifted_images import shift_images
from stages.evaluation.shifts import Case
from stages.model.checkpoint import Checkpoint
from stages.model.network import network_for
from stages.records.declaration import read_studies
from stages.records.networks import add_networks
from stages.records.record import write_rows
from stages.records.results import Cell, Results
from stages.reporting.draw import describe_networks, measure_longer_side
from tests.conftest import BROWSER, Project, build

NO_BROWSER = "no Chromium here: apt-get install chromium"
pytestmark = pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)
COUNT = 60
SEEDS = (0, 4, 7)
BARS = "[...document.querySelectorAll('#draw-form i')].map(bar => parseFloat(bar.style.width))"

Networks = dict[str, list[nn.Sequential]]  # by model, in the order of SEEDS


@pytest.fixture(scope="module")
def kept(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project with three networks of each model: the trained one, and it with noise."""
    project = finished.copy(tmp_path_factory.mktemp("kept") / "project")
    new = {}
    with contextlib.chdir(project.folder):
        for i, model in enumerate(MODELS):
            weights = read_tensors(Path(f"models/{model}.safetensors"), "")[0]
            generator = torch.Generator().manual_seed(i)
            digest = Recipe.of(model, load_params()).digest
            for seed in SEEDS:
                new[model, seed, digest] = {
                    name: x * (1 + seed / 20 * torch.randn(x.shape, generator=generator))
                    if name.endswith("conv.weight")
                    else x.clone()
                    for name, x in weights.items()
                }
        study = read_studies()["seeds"]
        add_networks(study, new)
        scores = {"test_accuracy": "0.9", "train_accuracy": "0.9"}
        write_rows(
            study.record, [{"model": m, "seed": str(s), **scores, "recipe": r} for m, s, r in new]
        )
        report.main()
    return project


@pytest.fixture
def networks(kept: Project) -> Networks:
    with contextlib.chdir(kept.folder):
        params = load_params()
        study = dict(read_records(params))["seeds"]
        found = read_ensembles(params, study, {m: Checkpoint(None, None, {}) for m in MODELS})
    return {model: list(one.networks.values()) for model, one in found.items()}


@contextlib.contextmanager
def opened(
    browser: Browser,
    project: Project,
    address: str = "",
    script: str = "",
    **options: object,
) -> Iterator[Page]:
    """Open the page of ``project`` without a network; nothing may complain."""
    options = {"viewport": {"width": 1280, "height": 800}, "offline": True, **options}
    context = browser.new_context(**options)
    page = context.new_page()
    page.add_init_script(script)
    page.set_default_timeout(60_000)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((project.folder / "reports/index.html").as_uri() + address)
    _tallies(page)
    yield page
    assert complaints == []
    context.close()


@pytest.fixture
def page(browser: Browser, kept: Project) -> Iterator[Page]:
    with opened(browser, kept) as page:
        yield page


@pytest.fixture(scope="module")
def untouched(browser: Browser, kept: Project) -> Iterator[Page]:
    """A page whose functions the tests call, and that nobody draws on."""
    with opened(browser, kept) as page:
        yield page


def _tallies(page: Page) -> list[str]:
    """Wait until all networks have answered; return what is told of each model."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_function(
        """() => !isBusy && !isLate && Object.entries(answers).every(([model, one]) =>
            job.unchanged.every(x => !x)
            || (job.sources[model] ? one.right !== undefined : one.asked.length === data.count))"""
    )
    return page.locator("#draw-status p").all_inner_texts()


def _encoded(images: torch.Tensor) -> str:
    return base64.b64encode(images.numpy().tobytes()).decode()


def _logits(
    page: Page, model: str, images: torch.Tensor, sources: list[str] | None = None
) -> torch.Tensor:
    """Return what the page's ``model`` makes of uint8 ``images``, all in one batch."""
    computed = page.evaluate(
        """([model, images, sources]) => {
            const grey = Float32Array.from(bytes(images), (value) => value / 255);
            const models = readModels(element("networks").textContent);
            const network = models.find((one) => one.model === model).take(0);
            return [...forward(network, grey, sources)];
        }""",
        [model, _encoded(images), sources or []],
    )
    return torch.tensor(computed).view(-1, 10)


def _pixels(project: Project, model: str) -> Pixels:
    return Pixels(**read_tensors(project.folder / f"models/{model}.safetensors", "")[1]["pixels"])


class _Told(nn.Module):
    """A normalization by its definition, told whose statistics it takes."""

    def __init__(self, layer: nn.Module, source: str, seen: torch.Tensor) -> None:
        """``seen`` [N, C, H, W]: what reaches it of training images."""
        super().__init__()
        self.layer, self.source = layer, source
        self.groups = getattr(layer, "num_groups", seen.shape[1])
        self.frozen = [moment.mean(dim=0) for moment in self._measure(seen, dim=(2, 3, 4))]
        if isinstance(layer, nn.BatchNorm2d):
            self.frozen = [x[:, None] for x in (layer.running_mean, layer.running_var)]
            self.frozen = [x[..., None, None] for x in self.frozen]

    def _measure(self, x: torch.Tensor, dim: tuple[int, ...]) -> list[torch.Tensor]:
        groups = x.double().unflatten(1, (self.groups, -1))
        mean = groups.mean(dim=dim, keepdim=True)
        return [mean, ((groups - mean) ** 2).mean(dim=dim, keepdim=True)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dims = {"image": (2, 3, 4), "batch": (0, 2, 3, 4)}
        mean, variance = (
            self.frozen if self.source == "frozen" else self._measure(x, dims[self.source])
        )
        y = (x.double().unflatten(1, (self.groups, -1)) - mean) / (variance + 1e-5).sqrt()
        own = self.layer
        return (y.flatten(1, 2) * own.weight[:, None, None] + own.bias[:, None, None]).float()


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_layers_take_the_statistics_they_are_told(
    untouched: Page, networks: Networks, kept: Project, test_split: Split, model: str
) -> None:
    """Of the typical network, which without scores on shifted images is the first."""
    with contextlib.chdir(kept.folder):
        train = read_split("train").images[:2_000]
    pixels, network = _pixels(kept, model), networks[model][0]
    sources = ["frozen", "image", "batch", "batch", "frozen", "batch"]
    layers = [
        (name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm)
    ]
    seen: dict[str, torch.Tensor] = {}
    for name, layer in layers:
        layer.register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: inputs[0]}))
    network(pixels.standardize(to_floats(train)))
    for (name, layer), source in zip(layers, sources, strict=True):
        network.set_submodule(name, _Told(layer, source, seen[name]))
    images = test_split.images[:COUNT]
    expected = network(pixels.standardize(to_floats(images)))
    found = _logits(untouched, model, images, sources=sources)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)
    assert (found - _logits(untouched, model, images)).abs().max() > 0.1


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("placement", ["after", "before"])
@pytest.mark.parametrize(("normalization", "parts"), [("batch", 0), ("batch", 16), ("group", 0)])
@torch.no_grad()
def test_any_recipe_computes_what_pytorch_does(
    untouched: Page,
    test_split: Split,
    normalization: str,
    parts: int,
    placement: str,
    skip: bool,
) -> None:
    """The ReLU before or after, bn trained on parts of its batches, more blocks, skipped or not."""
    torch.manual_seed(0)
    network = build(normalization, 4, parts, placement=placement, extra_blocks=2, skip=skip).eval()
    for name, values in network.state_dict().items():
        if "norm" in name and values.is_floating_point():
            values.uniform_(0.5, 1.5)  # what is 0 or 1 before any training would hide mistakes
    pixels = Pixels(mean=0.13, std=0.31)
    images = test_split.images[:20]
    found = untouched.evaluate(
        """([networks, images]) => {
            const grey = Float32Array.from(bytes(images), (value) => value / 255);
            const [one] = readModels(JSON.stringify({ any: networks }));
            return [...forward(one.take(0), grey)];
        }""",
        [describe_networks(Ensemble({5: network}, 5, pixels), test_split), _encoded(images)],
    )
    expected = network(pixels.standardize(to_floats(images)))
    torch.testing.assert_close(torch.tensor(found).view(-1, 10), expected, rtol=1e-3, atol=1e-3)


def test_typical_is_the_seed_nearest_to_the_mean() -> None:
    """By hand: the means are 0.5 and 0.6, the distances of the seeds 0.36, 0.1 and 0.42."""
    shifted = {
        Case("gn", "gn", None, "none", 0): {3: 0.2, 4: 0.5, 9: 0.8},
        Case("gn", "gn", None, "noise", 0.3): {3: 0.8, 4: 0.7, 9: 0.3},
        Case("gn", "other", None, "noise", 0.3): {3: 0, 4: 1, 9: 0},
    }
    assert find_typical("gn", Cell({}, shifted), [3, 4, 9]) == 4
    assert find_typical("gn", Cell({}, shifted), [9, 3]) == 3
    assert find_typical("gn", Cell({}), [7, 8]) == 7


def test_networks_of_other_seeds_and_recipes_are_left_out(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("studies.yaml").write_text(
        "studies: {seeds: {question: Which, models: [bn, gn, ln], seeds: 9, networks: true}}"
    )
    checkpoints = {
        m: Checkpoint(network_for(Recipe.of(m, params)), Pixels(0.1, 0.3), {}) for m in MODELS
    }

    study = read_studies()["seeds"]
    study.record.parent.mkdir(parents=True)
    results = Results(study, "test", {model: [Cell({})] for model in MODELS}, [], 0, [])

    def seeds() -> list[int]:
        return list(read_ensembles(params, results, checkpoints)["gn"].networks)

    assert seeds() == [params.train.seed]
    for model in MODELS:
        weights, digest = checkpoints[model].network.state_dict(), Recipe.of(model, params).digest
        for seed in (2, 5) if model == "bn" else (2, 4, 5):
            copied = {name: x.clone() for name, x in weights.items()}
            add_networks(study, {(model, seed, digest): copied, (model, 8, "other"): {}})
    assert seeds() == [2, 5]
    add_networks(study, {("ln", 5, Recipe.of("ln", params).digest): {"x": torch.ones(1)}})
    with pytest.raises(
        PipelineError, match=r"seeds\.safetensors holds other tensors .*git checkout"
    ):
        seeds()


@torch.no_grad()
def test_all_networks_are_counted(
    page: Page, networks: Networks, kept: Project, test_split: Split
) -> None:
    """On a faded test image, with what the wrong ones read, the most frequent first."""
    page.get_by_role("button", name="faded").click()
    page.get_by_alt_text("Test image 17, digit 7").click()
    faded = shift_images(test_split.images[17:18], "contrast", 0.1)
    for told, model in zip(_tallies(page), MODELS, strict=True):
        inputs = _pixels(kept, model).standardize(to_floats(faded))
        read = [int(network(inputs).argmax()) for network in networks[model]]
        counts = sorted(set(read) - {7}, key=lambda digit: (-read.count(digit), digit))
        others = "".join(f", {read.count(digit)} read {digit}" for digit in counts)
        most = max(sorted(set(read)), key=read.count)
        verdict = "right" if most == 7 else "wrong"
        assert told.lower() == f"{model} {verdict} {read.count(7)} of 3 networks read 7{others}"
        expected = 100 * torch.stack([one(inputs)[0].softmax(0) for one in networks[model]]).mean(0)
        shown = page.evaluate(BARS)[10 * list(MODELS).index(model) :][:10]
        assert shown == pytest.approx(expected.tolist(), abs=0.2)
    assert page.locator("tr.truth th").all_inner_texts() == ["7", "7", "7"]


def test_without_a_worker_the_page_answers_itself(
    browser: Browser, kept: Project, untouched: Page
) -> None:
    """Where there are no workers, and where the browser refuses one."""
    expected, by_itself = _tallies(untouched), "ask.toString().includes('answer(')"
    assert not untouched.evaluate(by_itself)
    with opened(browser, kept, script="delete window.Worker") as page:
        assert _tallies(page) == expected
        assert page.evaluate(by_itself)
    with browser.new_context(offline=True) as context:
        page = context.new_page()
        body = (kept.folder / "reports/index.html").read_text()
        policy = {"Content-Security-Policy": "worker-src 'none'", "Content-Type": "text/html"}
        page.route("http://page.test/", lambda it: it.fulfill(body=body, headers=policy))
        page.goto("http://page.test/")
        assert _tallies(page) == expected
        assert page.evaluate(by_itself)


def test_one_network_each_where_none_are_kept(browser: Browser, finished: Project) -> None:
    with opened(browser, finished) as page:
        for model, told in zip(MODELS, _tallies(page), strict=True):
            assert told.lower().startswith(f"{model} ")
            assert "one network reads" in told


def _places(page: Page, *shares: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the points at these shares of the board, from its corner, in the window."""
    page.locator("#draw-board").scroll_into_view_if_needed()
    box = page.locator("#draw-board").bounding_box()
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in shares]


def _draw(page: Page, *shares: tuple[float, float], release: bool = True) -> None:
    """Draw a stroke with the mouse."""
    first, *others = _places(page, *shares)
    page.mouse.move(*first)
    page.mouse.down()
    for place in others:
        page.mouse.move(*place, steps=5)
    if release:
        page.mouse.up()


def _ink(page: Page) -> np.ndarray:
    """Return the board [280, 280], 0 to 1."""
    ink = page.evaluate(
        "[...pen.getImageData(0, 0, board.width, board.height).data].filter((_, i) => i % 4 === 0)"
    )
    return np.reshape(ink, (280, 280)) / 255


def _shares(page: Page) -> np.ndarray:
    """Return the probabilities [3, 10] of the three models as the bars show them, in percent."""
    _tallies(page)
    return np.array(page.evaluate(BARS)).reshape(3, 10)


def test_a_stroke_is_read(page: Page) -> None:
    before = _shares(page)
    assert page.locator("#draw-shown").inner_text() == "Test image 3: drawing replaces it."
    _draw(page, (0.5, 0.2), (0.52, 0.8), release=False)
    page.wait_for_function("!job.all && !isLate && answers.ln.asked.length === 1")
    page.mouse.up()  # until then no other network is asked
    after = _shares(page)
    assert page.evaluate("answers.ln.asked.length") == len(SEEDS)
    assert after.sum(axis=1) == pytest.approx([100, 100, 100], abs=0.01)
    assert np.abs(after - before).max() > 10
    assert page.locator("#draw-shown").inner_text() == "Your drawing."
    read = page.evaluate("Object.values(answers).map((one) => one.usual)")
    assert int(page.locator("#draw-truth").input_value()) in read
    page.locator("#draw-truth").select_option("3")  # the reader knows better
    assert all("read 3" in told for told in _tallies(page))
    page.get_by_role("button", name="noisy").click()
    page.locator("#draw-wipe").click()
    assert _shares(page).sum() == 0
    assert not any(told.strip()[2:] for told in _tallies(page))
    assert page.locator("#draw-shown").inner_text() == "Draw a digit."
    assert page.locator("#draw-noise").input_value() == "0"  # the next drawing starts unchanged


def test_a_click_draws_a_dot_and_other_buttons_draw_nothing(page: Page) -> None:
    page.locator("#draw-wipe").click()
    page.mouse.click(*_places(page, (0.2, 0.3))[0], button="right")
    assert _ink(page).sum() == 0
    page.mouse.click(*_places(page, (0.2, 0.3))[0])
    rows, columns = (_ink(page) > 0.5).nonzero()
    assert (columns.mean(), rows.mean()) == pytest.approx((0.2 * 280, 0.3 * 280), abs=1.5)
    assert np.ptp(rows) == pytest.approx(22, abs=2)  # as wide as the pen
    page.mouse.move(*_places(page, (0.8, 0.8))[0])
    assert (_ink(page) > 0.5).sum() == len(rows)  # nothing is pressed


def test_one_finger_draws_and_the_page_stays(browser: Browser, kept: Project) -> None:
    """A second finger adds nothing, and neither scrolls."""
    inks = []
    for fingers in (1, 2):
        viewport = {"width": 380, "height": 800}
        with opened(browser, kept, viewport=viewport, has_touch=True, is_mobile=True) as page:
            page.locator("#draw-wipe").click()
            path = _places(page, (0.3, 0.2), (0.35, 0.4), (0.4, 0.7), (0.4, 0.8))
            other = _places(page, (0.9, 0.9), (0.8, 0.9), (0.7, 0.9), (0.6, 0.9))
            top = page.evaluate("scrollY")
            client = page.context.new_cdp_session(page)
            for i, (one, two) in enumerate(zip(path, other, strict=True)):
                points = [
                    {"x": x, "y": y, "id": n} for n, (x, y) in enumerate((one, two)[:fingers])
                ]
                if i == 0 and fingers == 2:
                    touch = {"type": "touchStart", "touchPoints": points[:1]}
                    client.send("Input.dispatchTouchEvent", touch)
                type_ = "touchMove" if i else "touchStart"
                client.send("Input.dispatchTouchEvent", {"type": type_, "touchPoints": points})
            client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            _tallies(page)
            assert page.evaluate("scrollY") == top
            inks.append(_ink(page) > 0.5)
    assert inks[0].sum() > 1000
    assert not inks[0][:, 180:].any()
    np.testing.assert_array_equal(*inks)


def test_browsers_that_answer_reads_of_canvases_with_noise(browser: Browser, kept: Project) -> None:
    """As Brave and Firefox do against tracking: some channels off by one, or nothing but noise."""
    script = """CanvasRenderingContext2D.prototype.getImageData = (x, y, width, height) =>
        new ImageData(Uint8ClampedArray.from({length: 4 * width * height},
                                             () => 256 * Math.random()), width, height)"""
    images = []
    for one in ("", script):
        with opened(browser, kept, script=one) as page:
            _draw(page, (0.3, 0.3), (0.4, 0.6), (0.6, 0.5))
            _tallies(page)
            images.append(page.evaluate("[...job.unchanged]"))
    np.testing.assert_array_equal(*images)


def test_batches_wait_until_the_stroke_is_done(page: Page) -> None:
    """They take long; the stroke itself is drawn all the while."""
    page.get_by_label("bn, all layers").select_option("batch")
    _tallies(page)
    before = page.evaluate("job.number")
    _draw(page, (0.3, 0.3), (0.4, 0.6), release=False)
    page.evaluate("new Promise(done => setTimeout(done, 300))")
    assert page.evaluate("job.number") == before
    assert _ink(page).any()
    page.mouse.up()
    _tallies(page)
    assert page.evaluate("job.number") > before


def test_a_drawing_is_scaled_and_centred_as_mnist_was(page: Page) -> None:
    """Against sums over the board by cumulative sums, and against what MNIST's files obey."""
    _draw(page, (0.1, 0.3), (0.3, 0.25), (0.15, 0.6), (0.35, 0.62))
    _tallies(page)
    ink, image = (
        np.reshape(page.evaluate(x), (n, n))
        for x, n in (("[...ink]", 280), ("[...job.unchanged]", 28))
    )
    assert np.abs(ink - _ink(page)).mean() < 0.002  # edges are smoothed in another way
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


def test_a_drawing_fills_the_image_where_the_test_images_do(untouched: Page) -> None:
    """Fashion-MNIST's are 28 pixels long: nothing may be cut off, wherever the weight lies."""
    ink = np.zeros((280, 280))
    ink[40:60, 30:170] = 1  # a wide drawing, heavy on its left
    ink[30:90, 30:40] = 1
    found = untouched.evaluate(
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


def test_changes_are_those_of_their_definitions(untouched: Page, test_split: Split) -> None:
    images = test_split.images[:3].float().div(255)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    found = untouched.evaluate(
        """([images, noise]) => [...change(Float32Array.from(images),
            {contrast: 0.3, brightness: 0.2, noise: 0.25}, Float32Array.from(noise))]""",
        [images.flatten().tolist(), noise.flatten().tolist()],
    )
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    expected = (mean + 0.3 * (images - mean) + 0.2 + 0.25 * noise).clamp(0, 1)
    found = torch.tensor(found).view_as(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.51 / 255)
    torch.testing.assert_close(255 * found, (255 * found).round(), rtol=0, atol=1e-4)


def test_noise_is_normal_and_drawn_anew_where_there_is_some(page: Page) -> None:
    numbers = np.array(page.evaluate("[...normals(100000)]"))
    assert abs(numbers.mean()) < 0.02
    assert abs(numbers.std() - 1) < 0.02
    assert abs((np.abs(numbers) < 1).mean() - 0.6827) < 0.01
    assert page.locator("#draw-new-noise").is_disabled()
    page.get_by_role("button", name="noisy").click()
    _tallies(page)
    before = page.evaluate("[...job.images]")
    page.locator("#draw-new-noise").click()
    _tallies(page)
    assert page.evaluate("[...job.images]") != before


def test_keyboard_picks_images_and_changes_them(page: Page, test_split: Split) -> None:
    """Arrows go through the images, and what is picked is what the networks see."""
    page.locator("[name=pick]").first.focus()
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    index = int(page.evaluate("pick.value"))
    assert index == int((test_split.labels == 1).nonzero().flatten()[2])
    assert page.locator("#draw-truth").input_value() == "1"
    image = test_split.images[index].flatten() / 255
    view = "[...element('view').getContext('2d').getImageData(0, 0, 28, 28).data]"
    _tallies(page)
    assert page.evaluate(view)[::4] == pytest.approx((255 * image).tolist(), abs=1)
    page.locator("#draw-noise").focus()
    page.keyboard.press("End")
    _tallies(page)
    assert (torch.tensor(page.evaluate("[...job.images]")) - image).abs().max() > 0.5


def test_presets_say_which_is_on_and_quote_the_record(page: Page, kept: Project) -> None:
    """Of all test images; the small project has one contrast on record, and nothing else."""
    with (kept.folder / "reports/shifts.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["reading"] in MODELS]
    for name, shift in (("unchanged", "none"), ("faded", "contrast")):
        page.get_by_role("button", name=name, exact=True).click()
        _tallies(page)
        assert page.locator("[aria-pressed=true]").all_inner_texts() == [name]
        of_shift = {row["reading"]: float(row["accuracy"]) for row in rows if row["shift"] == shift}
        expected = ", ".join(f"{model} {round(100 * of_shift[model], 1):g} %" for model in MODELS)
        assert page.locator("#draw-recorded").inner_text() == expected
    where = "document.getElementById('draw-contrast-mark').getAttribute('d')"
    assert page.evaluate(where).startswith("M5.26")  # (0.1 - 0.05) / (1 - 0.05) of the way
    page.get_by_role("button", name="noisy").click()
    _tallies(page)
    assert not page.locator("#draw-record").is_visible()
    page.locator("[data-guess=gn]").click()
    _tallies(page)
    recorded = {model: round(100 * of_shift[model], 1) for model in MODELS}
    worst, *others = sorted(MODELS, key=recorded.__getitem__)
    told = f"{'Yes' if worst == 'gn' else 'No'}: of all test images, faded like this one, {worst}"
    told += f" reads {recorded[worst]:g} % right"
    told += "".join(f", {model} {recorded[model]:g} %" for model in others)
    assert page.locator("#draw-guessed").inner_text() == f"{told}."
    assert page.locator("#draw-thaw").is_visible() == (worst == "bn")
    assert page.locator("[name=pick]:checked").get_attribute("value") == str(
        page.evaluate("data.indices[36]")
    )
    assert page.locator("[aria-pressed=true]").all_inner_texts() == ["faded"]


def test_switched_layers_change_their_model_alone(
    page: Page, networks: Networks, test_split: Split
) -> None:
    page.get_by_role("button", name="faded").click()
    before = _tallies(page)
    page.get_by_label("gn, layer 1", exact=True).select_option("frozen")
    after = _tallies(page)
    assert (after[0], after[2]) == (before[0], before[2])
    indices = page.evaluate("data.indices")
    faded = shift_images(test_split.images[indices], "contrast", 0.1)
    logits = _logits(page, "gn", faded, sources=["frozen", *["image"] * 5])
    right = int((logits.argmax(dim=1) == test_split.labels[indices]).sum())
    told = int(after[1].split(", and ")[1].split(" of 50 test images right")[0])
    assert told == right
    page.get_by_label("gn, all layers").select_option("usual")
    assert _tallies(page) == before
    page.get_by_label("bn, all layers").select_option("batch")
    _tallies(page)
    assert page.evaluate("job.sources") == {"bn": ["batch"] * 6, "gn": None, "ln": None}


def test_the_address_brings_a_situation_back(browser: Browser, kept: Project) -> None:
    with opened(browser, kept) as page:
        page.get_by_alt_text("Test image 17, digit 7").click()
        page.get_by_role("button", name="faded").click()
        page.get_by_label("bn, layer 2").select_option("image")
        page.wait_for_function("location.hash.includes('bn2')")
        address, told = page.evaluate("location.hash"), _tallies(page)
        assert address == "#draw?pick=17&contrast=0.1&bn2=image"
    with opened(browser, kept, address) as page:
        assert _tallies(page) == told
        assert -1 < page.locator("#draw").bounding_box()["y"] < 300  # scrolled to whole pixels
        page.evaluate("location.hash = '#draw?pick=no&bn2=no&noise=9&length=1&__proto__=2'")
        page.wait_for_function("noise.value === '0.8'")
        assert page.evaluate("[pick.value, contrast.value]") == ["3", "1"]
        assert page.evaluate("[...new FormData(form)].toString()").count("frozen") == 6


def test_links_for_a_class_open_their_situations(page: Page) -> None:
    page.locator("#class > summary").click()
    switched = """[...form.querySelectorAll(".draw-switches select[name]")].filter((one) =>
        !one.querySelector("[selected]").selected).map((one) => one.name + one.value)"""
    situations = []
    for link in page.locator("#class a").all():
        link.click()
        page.wait_for_function(
            "address => location.hash === address", arg=link.get_attribute("href")
        )
        _tallies(page)
        situations.append(page.evaluate(switched))
        assert page.evaluate("[pick.value, contrast.value]") == ["17", "0.1"]
    assert situations == [
        *([], ["gn1frozen", "ln1frozen"], ["gn6frozen", "ln6frozen"]),
        *(["bn1image"], ["bn2image"], ["bn6image"]),
    ]


def _colours(page: Page, query: str) -> set[str]:
    return set(
        page.locator(query).evaluate_all("all => all.map(x => getComputedStyle(x).backgroundColor)")
    )


def test_colours_stay_where_the_system_forces_its_own(browser: Browser, kept: Project) -> None:
    with opened(browser, kept, forced_colors="active") as page:
        assert len(_colours(page, "#draw-form i") | _colours(page, "body")) == 4


def test_bn_stands_out_from_a_dark_page(browser: Browser, kept: Project) -> None:
    """At least 4.5 to 1, as WCAG 2 asks for text."""
    with opened(browser, kept, color_scheme="dark") as page:
        bars, paper = _colours(page, "i.bn"), _colours(page, "body")
        lighter, darker = (_luminance(*one) for one in (bars, paper))
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    parts = [int(x) / 255 for x in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_at_twice_the_size_strokes_lie_under_the_pointer(browser: Browser, kept: Project) -> None:
    """A zoom of 200 %: half as many pixels of CSS, and nothing beside the window."""
    viewport = {"width": 640, "height": 400}
    with opened(browser, kept, viewport=viewport, device_scale_factor=2) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 640
        _draw(page, (0.25, 0.25), (0.25, 0.75))
        rows, columns = (_ink(page) > 0.5).nonzero()
        assert columns.mean() == pytest.approx(70, abs=2)
        assert (rows.min() + rows.max()) / 2 == pytest.approx(140, abs=2)
        told = page.locator("#draw-status").bounding_box()
        assert told["height"] < 400 / 3


def test_bars_have_room_and_are_near_the_board(page: Page) -> None:
    """Fashion-MNIST's names stand above their bars, which still show shares of the row's width."""
    shares = _shares(page).flatten()
    for width in (380, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        first, board = (page.locator(x).bounding_box() for x in ("#draw-bn-0", "#draw-board"))
        assert first["y"] - (board["y"] + board["height"]) < 400
        page.locator(".draw-models").evaluate("models => models.classList.add('named')")
        sizes = page.evaluate(
            """[...document.querySelectorAll('#draw-form i')].map((bar) =>
                [bar, bar.parentElement].map((one) => one.getBoundingClientRect().width))"""
        )
        bars, rooms = np.array(sizes).T
        assert rooms.min() > 40
        np.testing.assert_allclose(bars, shares / 100 * rooms, atol=0.1)
        page.locator(".draw-models").evaluate("models => models.classList.remove('named')")


def test_without_javascript_the_rest_stays(browser: Browser, finished: Project) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((finished.folder / "reports/index.html").as_uri())
    assert page.locator("noscript").is_visible()
    assert not page.locator("#draw-form").is_visible()
    assert page.locator("#results").is_visible()
    context.close()
