"""Read and write whole files: nobody sees half a file, or one of the wrong kind."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from stages.core.errors import PipelineError
from stages.core.process import interrupts_held

# The only metadata key of a safetensors file: with two, their order would vary between runs.
METADATA_KEY = "metadata"


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path`` and move it into place; make the folder if needed.

    Raises:
        PipelineError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with interrupts_held():  # they leave nothing behind
            temporary.write_bytes(content)
            temporary.replace(path)
    except OSError as error:
        remedy = "free space or mend the permissions"
        if isinstance(error, FileExistsError | IsADirectoryError | NotADirectoryError):
            remedy = "move away what has its name, or that of a folder above it"
        raise PipelineError(f"{path} cannot be written ({error.strerror}); {remedy}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` as indented JSON in the order of its keys."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write named ``tensors`` and JSON-serializable ``metadata`` as safetensors.

    The same input gives the same bytes.
    """
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    encoded = {METADATA_KEY: json.dumps(metadata, sort_keys=True)}
    write_bytes(path, safetensors.torch.save(on_cpu, encoded))


def read_bytes(path: Path, remedy: str) -> bytes:
    """Read ``path``; ``remedy`` tells the user what to do if it is missing.

    Raises:
        PipelineError: it is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; {remedy}") from None
    except OSError as error:
        raise PipelineError(f"{path} cannot be read ({error.strerror}); {remedy}") from None


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        PipelineError: the file is missing or of another kind.
    """
    try:
        content = json.loads(read_bytes(path, remedy))
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"{path} is not valid JSON ({error}); {remedy}") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{path} does not hold a JSON object; {remedy}")
    return content


def read_tensors(path: Path, remedy: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the tensors and the metadata that ``write_tensors`` wrote.

    Raises:
        PipelineError: the file is missing, truncated or of another kind.
    """
    content = read_bytes(path, remedy)
    try:
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = json.loads(header["__metadata__"][METADATA_KEY])
        return tensors, dict(metadata)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PipelineError(f"{path} is damaged or foreign ({error}); {remedy}") from None


def check_tensor(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    name: str,
    dtype: torch.dtype,
    shape: tuple[int | None, ...],
    remedy: str,
) -> torch.Tensor:
    """Return ``tensors[name]`` if it has ``dtype`` and ``shape`` (None: any length).

    Raises:
        PipelineError: it is missing or differs.
    """
    if name not in tensors:
        raise PipelineError(f"{path} does not hold a tensor {name!r}; {remedy}")
    tensor = tensors[name]
    fits = len(shape) == tensor.dim() and all(
        wanted in (None, length) for wanted, length in zip(shape, tensor.shape, strict=True)
    )
    if tensor.dtype != dtype or not fits:
        raise PipelineError(
            f"{path}: {name!r} is {tensor.dtype} {list(tensor.shape)}, "
            f"not {dtype} {['any' if n is None else n for n in shape]}; {remedy}"
        )
    return tensor
