"""The raw files of the data sets: fetched where missing, verified by their digests, then parsed."""

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

from stages.core.errors import PipelineError
from stages.core.files import write_bytes
from stages.core.params import DataName

RAW = Path("data/raw")
_RESTORE = "restore it with `git checkout data/raw/mnist`"


@dataclass(frozen=True)
class IdxFile:
    """One raw file: its name, the shape it holds, and the MD5 of its uncompressed bytes.

    Where that is not known, ``md5`` is of the file with the ending .gz as it is published, and only
    that one is accepted.
    """

    name: str
    shape: tuple[int, ...]
    md5: str
    md5_is_of_archive: bool = False


@dataclass(frozen=True)
class _Source:
    kind: str  # torchvision's class, which downloads the files
    files: dict[str, tuple[IdxFile, IdxFile]]  # images and labels of "train" and of "test"
    if_missing: str  # what to do without a network
    if_damaged: str = "remove it, and the next run downloads it"


def _files(*md5: str, of_archives: bool = False) -> dict[str, tuple[IdxFile, IdxFile]]:
    """Take the digests of training images, training labels, test images and test labels."""

    def pair(prefix: str, count: int, images: str, labels: str) -> tuple[IdxFile, IdxFile]:
        return (
            IdxFile(f"{prefix}-images-idx3-ubyte", (count, 28, 28), images, of_archives),
            IdxFile(f"{prefix}-labels-idx1-ubyte", (count,), labels, of_archives),
        )

    return {"train": pair("train", 60_000, *md5[:2]), "test": pair("t10k", 10_000, *md5[2:])}


SOURCES: dict[DataName, _Source] = {
    "mnist": _Source(
        "MNIST",
        _files(
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        _RESTORE,
        _RESTORE,
    ),
    "fashion-mnist": _Source(
        "FashionMNIST",
        _files(
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
        "copy its four files into data/raw/fashion-mnist, for example those that the Debian "
        "package dataset-fashion-mnist puts into /usr/share/datasets/fashion-mnist",
    ),
    "kmnist": _Source(
        "KMNIST",
        _files(
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
            of_archives=True,
        ),
        "copy its four files into data/raw/kmnist, compressed with gzip as they are published",
    ),
}


def read_images(raw: Path, name: DataName, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the "train" or "test" images of a data set from its folder ``raw``/``name``.

    Returns:
        Images uint8 [N, 1, 28, 28], and labels uint8 [N], 0 to 9.

    Raises:
        PipelineError: a file is missing or is not the published one.
    """
    images, labels = (
        _read_verified(raw / name, file, SOURCES[name]) for file in SOURCES[name].files[split]
    )
    return images.unsqueeze(1), labels


def _read_verified(folder: Path, file: IdxFile, source: _Source) -> torch.Tensor:
    path = _find(folder, file)
    if path is None:
        raise PipelineError(f"{folder / file.name}.gz is missing; {source.if_missing}")
    content = _read(path, _size(file), source.if_damaged)
    digested = path.read_bytes() if file.md5_is_of_archive else content
    digest = hashlib.md5(digested, usedforsecurity=False).hexdigest()
    if digest != file.md5:
        raise PipelineError(
            f"{path} is not {source.kind}'s: MD5 {digest}, not {file.md5}; {source.if_damaged}"
        )
    return parse_idx(content, file)


def _find(folder: Path, file: IdxFile) -> Path | None:
    """Return the path of ``file``, compressed or not, under a name that some mirror gives it."""
    endings = (".gz",) if file.md5_is_of_archive else (".gz", "")
    names = (file.name, file.name.replace("-idx", ".idx"))
    paths = (folder / f"{name}{ending}" for name in names for ending in endings)
    return next(filter(Path.is_file, paths), None)


def _header(file: IdxFile) -> bytes:
    """Return how ``file`` begins: two zeros, 8 for bytes, the number of lengths, the lengths."""
    return struct.pack(f">HBB{len(file.shape)}I", 0, 8, len(file.shape), *file.shape)


def _size(file: IdxFile) -> int:
    """Return the bytes of ``file``: its header, then a byte an element."""
    return len(_header(file)) + torch.Size(file.shape).numel()


def _read(path: Path, max_bytes: int, remedy: str) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(max_bytes + 1)  # the bound: a small file can unpack to terabytes
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path} is damaged ({error}); {remedy}") from None
    if len(content) > max_bytes:
        raise PipelineError(f"{path} holds more than {max_bytes} bytes; {remedy}")
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
            f"that begin with {content[: len(header)].hex()}, not {_size(file)} with {header.hex()}"
        )
    elements = torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=len(header))
    return elements.reshape(file.shape)


def download_missing(raw: Path, name: DataName) -> None:
    """Fetch into the folder ``raw``/``name`` those of the data set's files that are not there.

    Raises:
        PipelineError: there is no network, no space, or what came is another file.
    """
    folder, source = raw / name, SOURCES[name]
    title = source.kind
    files = [file for of_split in source.files.values() for file in of_split]
    missing = [file for file in files if _find(folder, file) is None]
    if not missing:
        return
    print(f"{folder}: {len(missing)} files of {title} are missing; downloading")
    from torchvision import datasets  # takes two seconds, which the other runs are spared

    with tempfile.TemporaryDirectory() as temporary:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints each mirror that fails
                getattr(datasets, title)(temporary, download=True)
        except (RuntimeError, OSError) as error:
            raise PipelineError(
                f"{folder / missing[0].name}.gz is missing and {title} cannot be downloaded into "
                f"{temporary} ({' '.join(str(error).split())}); {source.if_missing}, or run again "
                "with a network and space for the download (or with TMPDIR set to another folder)"
            ) from None
        for file in missing:
            archive = f"{file.name}.gz"
            write_bytes(folder / archive, Path(temporary, title, "raw", archive).read_bytes())
