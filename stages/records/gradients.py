"""The record of the norms of gradients before any training, by depth."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter

from stages.evaluation.checking import read_record
from stages.records.declaration import RECORDS

PATH = RECORDS / "gradients.csv"


@dataclass(frozen=True)
class Norm:
    """A row of gradients.csv: the norm of the gradient of one block's convolution."""

    model: str
    placement: str  # of the normalization: after the ReLU, or before it
    seed: int
    block: int  # the first of all is 1
    norm: Annotated[float, Field(gt=0)]


def read_norms() -> list[Norm]:
    """Read the record; no rows if there is none.

    Raises:
        PipelineError: it is not such a record.
    """
    return read_record(TypeAdapter(list[Norm]), PATH, "a record of gradients")
