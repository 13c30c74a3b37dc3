"""What several tests share: real MNIST, the real parameters, and copies of the whole project."""

import stages  # noqa: F401  (chooses the kernels of torch and numpy, so before them)

# isort: split
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from playwright.sync_api import Browser, sync_playwright
from torch import nn

from stages.core.dataset import Dataset, Split
from stages.core.params import Params, flatten
from stages.model.network import build_network
from stages.model.normalization import Normalization
from stages.preparation import sources
from stages.preparation.splitting import measure_pixels

ROOT = Path(__file__).parents[1]
OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
# What the tests train with, whatever the user has put into params.yaml.
_OWN = {"learning_rate": 0.02, "l1": 0, "weight_decay": 0.0001}
PARAMS = {
    "data": {
        **{"name": "mnist", "training_images": 60_000, "validation_images": 0, "split_seed": 0},
    },
    "network": {
        **{"placement": "after", "dropout": 0, "initialization": "torch"},
        **{"extra_blocks": 0, "skip": False},
    },
    "train": {
        **{"seed": 0, "device": "cpu", "threads": 1, "epochs": 20, "batch_size": 64},
        **{"optimizer": "soap", "momentum": 0.9, "nesterov": False, "warmup": 0.3},
        **{"annealing": "cos", "initial_divisor": 25, "final_divisor": 10000},
        **{"label_smoothing": 0, "weight_average": 0.999, "sort_batches": False},
        "augmentation": {
            **{"rotation": 15, "translation": 2, "scale": 0.15, "shear": 10},
            **{"brightness": 0.4, "contrast": 0.4, "fade": 0},
        },
    },
    "models": {
        "bn": _OWN | {"normalization_batch": 0, "part_statistics": "own", "layer_norm_first": 0},
        "gn": _OWN | {"channels_per_group": 4},
        "ln": _OWN,
    },
    "shifts": {  # few, for each takes a second
        **{"contrast": [0.1], "brightness": [], "noise": [], "rotation": [], "translation": []},
        **{"blur": [], "inversion": False, "test_batch": 100, "test_batches": [10]},
    },
    "report": {"dots_per_inch": 144, "equivalence_margin": 0.1},
}

# A background job of a shell ignores Ctrl-C, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", action="store_true", help="tests/torture at full length")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no core waits for one of them at the end."""
    longest = ["test_pipeline", "test_process", "test_studies", "test_report", "test_dvc_yaml"]
    places = {name: place for place, name in enumerate(longest)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def params() -> Params:
    return Params.model_validate(PARAMS)


@pytest.fixture(scope="session")
def test_split() -> Split:
    return Split("test", *sources.read_images(ROOT / "data/raw", "mnist", "test"))


@pytest.fixture(scope="session")
def small_dataset(test_split: Split) -> Dataset:
    """300 images to train on and 200 to follow, all real."""
    train = Split("train", test_split.images[:300], test_split.labels[:300])
    followed = Split("test", test_split.images[300:500], test_split.labels[300:500])
    return Dataset(train, followed, measure_pixels(train.images))


def change(params: Params, **changes: object) -> Params:
    """Return ``params`` with other values: ``train__epochs=2``, ``models__bn__l1=0.1``."""
    content = params.model_dump()
    for path, value in changes.items():
        *sections, key = path.split("__")
        target = content
        for section in sections:
            target = target[section]
        assert key in target, f"no parameter {path}"
        target[key] = value
    return Params.model_validate(content)


def build(
    kind: str,
    channels_per_group: int | None = 4,
    batch: int = 0,
    layer_norm_first: int = 0,
    **changes: object,
) -> nn.Sequential:
    """Build a network of this normalization, with other values of ``network:`` than PARAMS."""
    network = Params.model_validate(PARAMS).network.model_copy(update=changes)
    normalization = Normalization(kind, channels_per_group, batch)
    return build_network(normalization, network, layer_norm_first)


def with_param(text: str, key: str, value: object) -> str:
    """Return ``text`` of a params.yaml with another value of ``key``, whatever it has."""
    text, count = re.subn(rf"(?m)^(\s+{key}: )\S+", rf"\g<1>{value}", text)
    assert count == 1, f"{key} stands {count} times"
    return text


def with_fixed_values(text: str) -> str:
    """Return ``text``, that of params.yaml, with the values of PARAMS and its own comments."""
    values, path, lines = flatten(PARAMS), [], []
    for line in text.splitlines(keepends=True):
        if found := re.match(r"( *)(\w+): ?(\[.*?\]|[^\s#]*)", line):
            path = [*path[: len(found[1]) // 2], found[2]]
            if (key := ".".join(path)) in values:
                shown = json.dumps(values.pop(key)).replace('"', "")
                line = f"{found[1]}{found[2]}: {shown}{line[found.end() :]}"
        lines.append(line)
    assert not values, f"params.yaml has no {list(values)}"
    return "".join(lines)


class Project:
    """A copy of the project, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", message)

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def set(self, old: str, new: str, file: str = "params.yaml") -> None:
        """Replace ``old``, which stands once in ``file``."""
        path = self.folder / file
        assert path.read_text().count(old) == 1, f"{old!r} does not stand once in {file}"
        path.write_text(path.read_text().replace(old, new))

    def set_param(self, key: str, value: object) -> None:
        """Give the parameter ``key``, whatever its value is, another one."""
        path = self.folder / "params.yaml"
        path.write_text(with_param(path.read_text(), key, value))

    def write(self, file: str, content: bytes) -> None:
        (self.folder / file).write_bytes(content)

    def copy(self, folder: Path) -> "Project":
        """Return a copy as it is now, without git and DVC's cache."""
        without = shutil.ignore_patterns(".git", ".dvc")
        return Project(shutil.copytree(self.folder, folder, ignore=without))

    def clone(self, folder: Path) -> "Project":
        """Return a copy as it is now, git and DVC's cache included."""
        return Project(shutil.copytree(self.folder, folder, symlinks=True))

    def run(self, *command: str, status: int = 0) -> str:
        """Run ``command`` in the copy; return what it prints."""
        result = self.try_run(*command)
        output = result.stdout + result.stderr
        assert result.returncode == status, f"{command}: status {result.returncode}\n{output}"
        return output

    def make_small(self, epochs: int, images: int = 3_000) -> None:
        """Train for ``epochs`` on so many ``images``, followed by 1,000."""
        self.set_param("training_images", images)
        self.set_param("validation_images", 1_000)
        self.set_param("epochs", epochs)
        self.set_param("weight_average", 0)  # else each epoch scores twice
        self.set_param("dots_per_inch", 50)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start ``command`` in a session of its own."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def outputs(self) -> dict[str, str]:
        """Return a digest of every file that the pipeline writes, dvc.lock included."""
        folders = ("data/prepared", "models", "reports")
        files = [f for folder in folders for f in (self.folder / folder).rglob("*")]
        return {
            str(file.relative_to(self.folder)): hashlib.md5(file.read_bytes()).hexdigest()
            for file in sorted([*files, self.folder / "dvc.lock"])
            if file.is_file()
        }

    def try_run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True
        )

    @staticmethod
    def environment() -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        unusual = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": ""}  # "": as if unset
        return os.environ | {"PATH": path} | unusual


def new_project(folder: Path) -> Project:
    """Return a copy of this checkout's files with fixed parameters, in a git of its own."""
    project, checkout = Project(folder), Project(ROOT)
    files = checkout.git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, files.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    params = folder / "params.yaml"
    params.write_text(with_fixed_values(params.read_text()))
    project.git("init", "--quiet", "--initial-branch=main")
    project.git("config", "core.compression", "0")  # it would take seconds
    project.commit("the project")
    return project


def project_of_studies(folder: Path, studies: str) -> Project:
    """Return a project of these studies that trains on 1,000 images for an epoch, no records."""
    project = new_project(folder)
    project.make_small(epochs=1, images=1_000)
    project.write("studies.yaml", studies.encode())
    for path in (folder / "reports/studies").iterdir():
        path.unlink()
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project of two epochs whose pipeline has run; copy it before a change.

    The first of several test processes makes it while the others wait: so `python -m stages`, on
    all cores. What that printed stands in .dvc/tmp/printed.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "finished"
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            return Project(folder)
        project = new_project(folder)
        project.make_small(epochs=2)
        printed = project.run("python", "-m", "stages")
        project.commit("small results")
        (folder / ".dvc/tmp/printed").write_text(printed)
    return project


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


def wait_for(condition: Callable[[], object], seconds: float = 180) -> None:
    """Return once ``condition`` holds; fail where it does not within ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
