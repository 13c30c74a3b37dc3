"""MNIST's four raw files: verified against their published digests, then parsed."""

import contextlib
import gzip
import hashlib
import io
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.datasets import MNIST

from stages.core.errors import PipelineError
from stages.core.files import write_bytes

RAW = Path("data/raw")
REMEDY = "restore it with `git checkout data/raw`"


@dataclass(frozen=True)
class IdxFile:
    """One raw file: its name, the MD5 of its uncompressed bytes, and the shape it holds."""

    name: str
    md5: str
    shape: tuple[int, ...]


# Images and labels.
TRAIN_FILES = (
    IdxFile("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb", (60_000, 28, 28)),
    IdxFile("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624", (60_000,)),
)
TEST_FILES = (
    IdxFile("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea", (10_000, 28, 28)),
    IdxFile("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637", (10_000,)),
)


def read_files(folder: Path, files: tuple[IdxFile, IdxFile]) -> tuple[torch.Tensor, torch.Tensor]:
    """Read uint8 images [N, 1, 28, 28] and uint8 labels [N], 0 to 9, from ``folder``.

    Raises:
        PipelineError: a file is missing, is not MNIST's, or holds another shape or range.
    """
    images, labels = (_read_verified(folder, file) for file in files)
    if int(labels.max()) > 9:
        raise PipelineError(f"{files[1].name} holds the label {int(labels.max())}, not 0 to 9")
    return images.unsqueeze(1), labels


def _read_verified(folder: Path, file: IdxFile) -> torch.Tensor:
    content = _decompress(folder / f"{file.name}.gz", max_bytes=_size(file))
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != file.md5:
        raise PipelineError(
            f"{folder / file.name}.gz is not MNIST's: MD5 {digest}, not {file.md5}; {REMEDY}"
        )
    return parse_idx(content, file)


def _header(file: IdxFile) -> bytes:
    """Return how ``file`` begins: two zeros, 8 for bytes, the number of lengths, the lengths."""
    return struct.pack(f">HBB{len(file.shape)}I", 0, 8, len(file.shape), *file.shape)


def _size(file: IdxFile) -> int:
    """Return the bytes of ``file``: its header, then a byte an element."""
    return len(_header(file)) + torch.Size(file.shape).numel()


def _decompress(path: Path, max_bytes: int) -> bytes:
    try:
        with gzip.open(path) as stream:
            content = stream.read(max_bytes + 1)  # the bound: a small file can unpack to terabytes
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; {REMEDY}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path} is damaged ({error}); {REMEDY}") from None
    if len(content) > max_bytes:
        raise PipelineError(f"{path} holds more than {max_bytes} bytes; {REMEDY}")
    return content


def parse_idx(content: bytes, file: IdxFile) -> torch.Tensor:
    """Parse uncompressed IDX bytes into a uint8 tensor of ``file.shape``.

    Raises:
        PipelineError: the bytes are no IDX file or hold another type or shape.
    """
    header = _header(file)
    if not content.startswith(header) or len(content) != _size(file):
        raise PipelineError(
            f"{file.name} is not an IDX file of bytes {list(file.shape)}: {len(content)} bytes "
            f"that begin with {content[: len(header)].hex()}, not {_size(file)} with "
            f"{header.hex()}; {REMEDY}"
        )
    elements = torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=len(header))
    return elements.reshape(file.shape)


def download_missing(folder: Path) -> None:
    """Fetch into ``folder`` those of the four files that are not there.

    Raises:
        PipelineError: there is no network, no space, or what came is not MNIST.
    """
    missing = [
        file for file in TRAIN_FILES + TEST_FILES if not (folder / f"{file.name}.gz").exists()
    ]
    if not missing:
        return
    print(f"{folder}: {len(missing)} files of MNIST are missing; downloading")
    with tempfile.TemporaryDirectory() as temporary:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints each mirror that fails
                MNIST(temporary, download=True)
        except (RuntimeError, OSError) as error:
            raise PipelineError(
                f"{folder / missing[0].name}.gz is missing and MNIST cannot be downloaded into "
                f"{temporary} ({' '.join(str(error).split())}); {REMEDY}, or run again with a "
                "network and space there (or with TMPDIR set to another folder)"
            ) from None
        for file in missing:
            archive = f"{file.name}.gz"
            write_bytes(folder / archive, Path(temporary, "MNIST", "raw", archive).read_bytes())
