import gzip
import hashlib
import math
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from torchvision import datasets
from torchvision.datasets import MNIST, FashionMNIST
from torchvision.datasets.mnist import read_image_file, read_label_file

from stages.core.errors import PipelineError
from stages.core.params import DataName, Params
from stages.preparation.sources import SOURCES, IdxFile, download_missing, parse_idx, read_images
from stages.preparation.splitting import prepare
from tests.conftest import ROOT, Project, change

RAW = ROOT / "data/raw"
SMALL = IdxFile("small", (2, 3), "")
FILES = SOURCES["mnist"].files
TEST_FILES = FILES["test"]


@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_embedded_files_are_mnist(split: str, count: int, tmp_path: Path) -> None:
    images, labels = read_images(RAW, "mnist", split)
    files = FILES[split]
    for file in files:
        archive = RAW / "mnist" / f"{file.name}.gz"
        (tmp_path / file.name).write_bytes(gzip.decompress(archive.read_bytes()))
    assert images.shape == (count, 1, 28, 28)
    assert torch.equal(images[:, 0], read_image_file(str(tmp_path / files[0].name)))
    assert torch.equal(labels.long(), read_label_file(str(tmp_path / files[1].name)))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "mnist").mkdir()
    for file in TEST_FILES:
        shutil.copy(RAW / "mnist" / f"{file.name}.gz", tmp_path / "mnist")
    return tmp_path


def _with_a_changed_byte(archive: Path) -> bytes:
    content = bytearray(gzip.decompress(archive.read_bytes()))
    content[100] ^= 1
    return gzip.compress(bytes(content), mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing; restore it with `git checkout data/raw/mnist`"),
        (b"", "is not MNIST's"),
        (
            _with_a_changed_byte(RAW / "mnist" / f"{TEST_FILES[0].name}.gz"),
            r"is not MNIST's: MD5 \w+, not 2646ac64.*git",
        ),
        (b"hello", "is damaged .*restore"),
        (gzip.compress(b"x" * 100, mtime=0)[:20], "is damaged .*restore"),
        (gzip.compress(b"\0" * 50_000_000, mtime=0), "holds more than 7840016 bytes"),
    ],
)
def test_damaged_archive(raw: Path, content: bytes | None, message: str) -> None:
    path = raw / "mnist" / f"{TEST_FILES[0].name}.gz"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=message):
        read_images(raw, "mnist", "test")


@pytest.mark.parametrize("ending", [".gz", ""])
@pytest.mark.parametrize("between", ["-", "."])
def test_names_that_mirrors_give(raw: Path, between: str, ending: str) -> None:
    for file in TEST_FILES:
        archive = raw / "mnist" / f"{file.name}.gz"
        content = archive.read_bytes()
        archive.unlink()
        name = file.name.replace("-idx", f"{between}idx") + ending
        archive.with_name(name).write_bytes(content if ending else gzip.decompress(content))
    images, labels = read_images(raw, "mnist", "test")
    expected = read_images(RAW, "mnist", "test")
    assert torch.equal(images, expected[0])
    assert torch.equal(labels, expected[1])


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_the_files_of_another_data_set(raw: Path, name: DataName) -> None:
    (raw / "mnist").rename(raw / name)
    with pytest.raises(
        PipelineError, match=r"images-idx3-ubyte.gz is not \w+MNIST's: MD5 .*remove"
    ):
        read_images(raw, name, "test")


def test_a_file_known_by_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of KMNIST, the digests of the archives alone are known."""
    archives = {
        file.name: gzip.compress(_idx(8, shape, bytes(math.prod(shape))))
        for file, shape in zip(TEST_FILES, ((2, 28, 28), (2,)), strict=True)
    }
    files = tuple(
        IdxFile(name, shape, hashlib.md5(archives[name]).hexdigest(), md5_is_of_archive=True)
        for name, shape in zip(archives, ((2, 28, 28), (2,)), strict=True)
    )
    source = replace(SOURCES["kmnist"], files={"test": files})
    monkeypatch.setitem(SOURCES, "kmnist", source)
    folder = tmp_path / "kmnist"
    folder.mkdir()
    for name, archive in archives.items():
        (folder / f"{name}.gz").write_bytes(archive)
    images, labels = read_images(tmp_path, "kmnist", "test")
    assert images.shape == (2, 1, 28, 28)
    assert labels.tolist() == [0, 0]
    labels_path = folder / f"{files[1].name}.gz"
    (folder / files[1].name).write_bytes(gzip.decompress(labels_path.read_bytes()))
    labels_path.unlink()
    with pytest.raises(PipelineError, match=r"labels-idx1-ubyte.gz is missing; .* compressed with"):
        read_images(tmp_path, "kmnist", "test")


def _idx(kind: int, lengths: tuple[int, ...], content: bytes) -> bytes:
    return struct.pack(f">HBB{len(lengths)}I", 0, kind, len(lengths), *lengths) + content


def test_parse_idx() -> None:
    parsed = parse_idx(_idx(8, (2, 3), bytes(range(6))), SMALL)
    assert parsed.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_bad_idx() -> None:
    """Any other bytes: torture/test_any_bytes.py."""
    message = r"^small is not an IDX file of bytes \[2, 3\]: 18 bytes that begin"
    with pytest.raises(PipelineError, match=message):
        parse_idx(_idx(9, (2, 3), bytes(6)), SMALL)


@pytest.fixture
def mirror() -> Iterator[str]:
    """The address of a server of this machine that has MNIST's files."""
    handler = partial(SimpleHTTPRequestHandler, directory=RAW / "mnist")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_download(tmp_path: Path, mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    archives = [RAW / "mnist" / name for name, _ in MNIST.resources]
    digests = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in archives]
    monkeypatch.setattr(MNIST, "mirrors", [mirror])
    monkeypatch.setattr(MNIST, "resources", digests)  # those in git are compressed anew
    there = tmp_path / "mnist" / archives[0].name
    there.parent.mkdir()
    there.write_bytes(b"not touched")
    download_missing(tmp_path, "mnist")
    assert there.read_bytes() == b"not touched"
    for path in archives[1:]:
        assert (there.parent / path.name).read_bytes() == path.read_bytes()


def test_download_of_other_files(
    tmp_path: Path, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FashionMNIST, "mirrors", [mirror])
    message = r"^\S+ is missing and FashionMNIST cannot be .*corrupt.*package dataset-fashion-mnist"
    with pytest.raises(PipelineError, match=message):
        download_missing(tmp_path, "fashion-mnist")
    assert not (tmp_path / "fashion-mnist").exists()


@pytest.mark.torture
def test_download_without_space_names_the_folder(tmp_path: Path, mirror: str) -> None:
    code = f"""
from pathlib import Path
from torchvision.datasets import MNIST
from stages.core.process import run_as_command
from stages.preparation.sources import download_missing
MNIST.mirrors = ["{mirror}"]
run_as_command("prepare-data", lambda: download_missing(Path("raw"), "mnist"))
"""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = Project.environment() | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    command = ["bash", "-c", 'ulimit -f 500; exec "$0" -c "$1"', sys.executable, code]  # KiB
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert re.fullmatch(
        r"prepare-data: raw/mnist/train-images-idx3-ubyte.gz is missing and MNIST cannot be "
        rf"downloaded into {temporary}/\S+ \(.*File too large.*\); restore .* with TMPDIR set .*",
        run.stderr.splitlines()[-1],
    )
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("mnist", "restore it with `git checkout data/raw/mnist`, or run again with a network"),
        ("kmnist", r"copy its four files into data/raw/kmnist, compressed with gzip .*, or"),
    ],
)
def test_what_to_do_without_a_network(
    name: DataName, remedy: str, raw: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    title = SOURCES[name].kind
    monkeypatch.setattr(getattr(datasets, title), "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(
        PipelineError, match=f"ubyte.gz is missing and {title} cannot be downloaded .*; {remedy}"
    ):
        prepare(raw, change(params, data__name=name).data)
