"""Files of the pipeline, checked as they are read: one that does not fit gets one line."""

import csv
import io
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from stages.core.errors import PipelineError
from stages.core.files import read_bytes

Fraction = Annotated[float, Field(ge=0, le=1)]
T = TypeVar("T")


def check(kind: TypeAdapter[T], content: Any, path: Path, what: str, remedy: str) -> T:  # noqa: ANN401
    """Return ``content``, read from ``path``, as a ``kind``, which errors call ``what``.

    Raises:
        PipelineError: it is not of this kind.
    """
    try:
        return kind.validate_python(content)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        why = f"{place}: {fault['msg']}" if place else fault["msg"]
        raise PipelineError(f"{path} is not {what} ({why}); {remedy}") from None


def read_table(kind: TypeAdapter[T], path: Path, what: str, remedy: str) -> T:
    """Read the rows of a CSV file as ``kind``, which errors call ``what``.

    Raises:
        PipelineError: it is missing, is not a CSV file, or holds something else.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(read_bytes(path, remedy).decode()), strict=True))
    except (ValueError, csv.Error) as error:
        raise PipelineError(f"{path} is not a CSV file ({error}); {remedy}") from None
    return check(kind, lines, path, what, remedy)


def read_record(kind: TypeAdapter[list[T]], path: Path, what: str) -> list[T]:
    """Read a table that git keeps, likewise; no rows if there is no file."""
    remedy = f"restore it with `git checkout {path}`"
    return read_table(kind, path, what, remedy) if path.exists() else []
