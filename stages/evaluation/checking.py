"""Files of the pipeline, checked as they are read: one that does not fit gets one line."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from stages.core.errors import PipelineError

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
