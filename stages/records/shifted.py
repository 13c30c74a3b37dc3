"""The second record of a study with ``shifts``: its networks on shifted test images.

NAME.shifts.csv has a row for each reading of a network, shift and severity.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from stages.core.params import ShiftParams
from stages.evaluation.checking import read_record
from stages.evaluation.shifts import WHAT, SeededRow, list_cases
from stages.evaluation.shifts import Row as ShiftRow
from stages.model.history import write_rows
from stages.records.declaration import Study
from stages.records.record import Key, Row, key_of


def path_of(study: Study) -> Path:
    """Return where the second record is."""
    return study.record.with_suffix(".shifts.csv")


def read_shifted(study: Study) -> list[SeededRow]:
    """Read the rows of the second record; none if there is no file.

    Raises:
        PipelineError: the file is not such a record.
    """
    return read_record(TypeAdapter(list[SeededRow]), path_of(study), WHAT)


def scored_keys(study: Study, params: ShiftParams) -> set[Key]:
    """Return the keys of the trainings whose networks were scored on all shifts of ``params``."""
    found: dict[Key, set[object]] = {}
    for row in read_shifted(study):
        found.setdefault((row.model, row.seed, row.recipe), set()).add(row.case)
    return {key for key, cases in found.items() if cases >= set(list_cases(key[0], params))}


def add_shifted(study: Study, trained: Row, rows: Sequence[ShiftRow]) -> None:
    """Add ``rows`` of the network of ``trained``, a row of the main record, to the second one."""
    own = key_of(trained)
    new = [SeededRow(**asdict(row), seed=own[1], recipe=own[2]) for row in rows]
    kept = [row for row in read_shifted(study) if (row.model, row.seed, row.recipe) != own]
    ordered = sorted([*kept, *new], key=lambda row: (row.seed, row.model))
    write_rows(path_of(study), [asdict(row) for row in ordered])
