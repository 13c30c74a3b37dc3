import gzip
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from torchvision.datasets.mnist import read_image_file, read_label_file

from stages.core.errors import PipelineError
from stages.preparation.sources import (
    TEST_FILES,
    TRAIN_FILES,
    IdxFile,
    download_missing,
    parse_idx,
    read_files,
)
from tests.conftest import ROOT, Project

RAW = ROOT / "data/raw"
SMALL = IdxFile("small", "", (2, 3))


@pytest.mark.parametrize(("files", "count"), [(TRAIN_FILES, 60_000), (TEST_FILES, 10_000)])
def test_embedded_files_are_mnist(
    files: tuple[IdxFile, IdxFile], count: int, tmp_path: Path
) -> None:
    images, labels = read_files(RAW, files)
    for file in files:
        (tmp_path / file.name).write_bytes(gzip.decompress((RAW / f"{file.name}.gz").read_bytes()))
    assert images.shape == (count, 1, 28, 28)
    assert torch.equal(images[:, 0], read_image_file(str(tmp_path / files[0].name)))
    assert torch.equal(labels.long(), read_label_file(str(tmp_path / files[1].name)))


def test_digits_per_class() -> None:
    """The counts that the literature gives for the test images."""
    labels = read_files(RAW, TEST_FILES)[1]
    assert torch.bincount(labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for file in TEST_FILES:
        shutil.copy(RAW / f"{file.name}.gz", tmp_path)
    return tmp_path


def test_changed_byte(raw: Path) -> None:
    path = raw / f"{TEST_FILES[1].name}.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[100] ^= 1
    path.write_bytes(gzip.compress(bytes(content), mtime=0))
    with pytest.raises(PipelineError, match=r"labels.*is not MNIST's: MD5 \w+, not 27ae3e4e.*git"):
        read_files(raw, TEST_FILES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing; restore it with `git checkout data/raw`"),
        (b"", "is not MNIST's"),
        (b"hello", "is damaged .*restore"),
        (gzip.compress(b"x" * 100, mtime=0)[:20], "is damaged .*restore"),
        (gzip.compress(b"\0" * 50_000_000, mtime=0), "holds more than 7840016 bytes"),
    ],
)
def test_damaged_archive(raw: Path, content: bytes | None, message: str) -> None:
    path = raw / f"{TEST_FILES[0].name}.gz"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=message):
        read_files(raw, TEST_FILES)


def _idx(kind: int, lengths: tuple[int, ...], content: bytes) -> bytes:
    return struct.pack(f">HBB{len(lengths)}I", 0, kind, len(lengths), *lengths) + content


def test_parse_idx() -> None:
    parsed = parse_idx(_idx(8, (2, 3), bytes(range(6))), SMALL)
    assert parsed.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\0\0\x08",
        _idx(8, (2, 3), bytes(5)),
        _idx(8, (2, 3), bytes(7)),
        _idx(8, (3, 2), bytes(6)),
        _idx(8, (6,), bytes(6)),
        _idx(9, (2, 3), bytes(6)),
        _idx(13, (2, 3), bytes(24)),
        _idx(0, (2, 3), bytes(6)),
        _idx(8, (2**31, 2**31), bytes(6)),
        _idx(8, (1, 1, 2, 3), bytes(6)),
    ],
)
def test_bad_idx(content: bytes) -> None:
    with pytest.raises(
        PipelineError, match=r"^small is not an IDX file of bytes \[2, 3\]: .*; restore it with"
    ):
        parse_idx(content, SMALL)


def test_nothing_is_downloaded_when_all_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    download_missing(RAW)
    assert capsys.readouterr().out == ""


@pytest.fixture
def mirror() -> Iterator[str]:
    """The address of a server of this machine that has MNIST's files."""
    handler = partial(SimpleHTTPRequestHandler, directory=RAW)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_download_without_space_names_the_folder(tmp_path: Path, mirror: str) -> None:
    code = f"""
from pathlib import Path
from torchvision.datasets import MNIST
from stages.core.process import run_as_command
from stages.preparation.sources import download_missing
MNIST.mirrors = ["{mirror}"]
run_as_command("prepare-data", lambda: download_missing(Path("raw")))
"""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = Project.environment() | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    command = ["bash", "-c", 'ulimit -f 500; exec "$0" -c "$1"', sys.executable, code]  # KiB
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert re.fullmatch(
        r"prepare-data: raw/train-images-idx3-ubyte.gz is missing and MNIST cannot be downloaded "
        rf"into {temporary}/\S+ \(.*File too large.*\); restore it .* with TMPDIR set .*",
        run.stderr.splitlines()[-1],
    )
    assert list(temporary.iterdir()) == []


def test_missing_file_without_a_network(tmp_path: Path) -> None:
    """In a network namespace of its own or not: no host of MNIST's can be reached here."""
    project = Project(tmp_path)
    (tmp_path / "data/raw" / f"{TEST_FILES[1].name}.gz").unlink()
    output = project.run(
        "env", "https_proxy=http://127.0.0.1:9", "http_proxy=http://127.0.0.1:9",
        "python", "-m", "stages.prepare_data", status=1,
    )  # fmt: skip
    assert "Traceback" not in output
    last = output.strip().splitlines()[-1]
    assert "t10k-labels-idx1-ubyte.gz is missing and MNIST cannot be downloaded" in last
    assert "restore it with `git checkout data/raw`, or run again with a network" in last
    assert not (tmp_path / "data/prepared").exists()
