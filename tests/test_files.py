import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from stages.core.errors import PipelineError
from stages.core.files import (
    METADATA_KEY,
    read_json,
    read_tensors,
    write_bytes,
    write_json,
    write_tensors,
)


def test_tensors_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "t.safetensors"
    tensors = {"a": torch.arange(6).view(2, 3).t(), "b": torch.tensor(1.5)}
    write_tensors(path, tensors, {"x": [1, "two"], "y": None})
    read, metadata = read_tensors(path, "")
    assert metadata == {"x": [1, "two"], "y": None}
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_order_of_tensors_and_keys_does_not_change_the_bytes(tmp_path: Path) -> None:
    a, b = torch.zeros(2), torch.ones(3)
    write_tensors(tmp_path / "1", {"a": a, "b": b}, {"x": 1, "y": 2})
    write_tensors(tmp_path / "2", {"b": b, "a": a}, {"y": 2, "x": 1})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert (tmp_path / "1").read_bytes().count(METADATA_KEY.encode()) == 2  # __metadata__, its key


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    path.with_name("file.tmp").mkdir()  # where the new content would go
    with pytest.raises(PipelineError, match=r"file cannot be written \(Is a directory\); move"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    with pytest.raises(PipelineError, match=r"file/new cannot be written \(\w+ exists\); move"):
        write_bytes(path / "new", b"x")


@contextmanager
def _disk(folder: Path, options: str) -> Iterator[None]:
    """Have a file system of its own stand at ``folder``; needs root on Linux."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("options", "reason"), [("size=1m", "No space left on device"), ("ro", "Read-only file system")]
)
def test_full_or_read_only_disk(options: str, reason: str, tmp_path: Path) -> None:
    with _disk(tmp_path, options):
        with pytest.raises(PipelineError, match=rf"file cannot be written \({reason}\)"):
            write_tensors(tmp_path / "file", {"x": torch.zeros(10**6)}, {})
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PipelineError, match="Permission denied"):
        write_bytes(tmp_path / "file", b"x")


def test_json_refuses_what_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"[1]", b"3", b"{", b"\xff", b"[" * 100_000])
def test_bad_json(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(PipelineError, match=r"file .*; run it again"):
        read_json(tmp_path / "file", "run it again")


@pytest.mark.parametrize(
    "header", [b"{}", b"[]", b'{"__metadata__": {}}', b'{"__metadata__": {"metadata": "3"}}']
)
def test_tensors_without_our_metadata(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(PipelineError, match=r"file is damaged or foreign .*; run it again"):
        read_tensors(tmp_path / "file", "run it again")
