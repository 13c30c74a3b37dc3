"""How many shifted test images the networks get right; batch normalization has two readings.

``bn`` normalizes with its running statistics, as usual; ``bn-batch`` with the statistics of each
batch of test images (Schneider et al. 2020). ``gn`` and ``ln`` take the
statistics of each image alone.
"""

import copy
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BeforeValidator, TypeAdapter
from torch import nn

from stages.core.dataset import Pixels, Split
from stages.core.errors import PipelineError
from stages.core.params import MODELS, ShiftParams
from stages.evaluation.checking import Fraction, read_table
from stages.evaluation.interventions import with_batch_statistics
from stages.model.history import write_rows
from stages.model.scoring import compute_logits

SHIFTS_PATH = Path("reports/shifts.csv")
Shift = tuple[str, float]  # how test images are changed, and how severely
CLEAN: Shift = "none", 0.0
_CPU = torch.device("cpu")
WHAT, REMEDY = "a table of shifts", "run `dvc repro evaluate`"


@dataclass(frozen=True)
class Case:
    """One reading of one network on the test images after one shift."""

    model: str  # bn, gn or ln
    reading: str  # bn, bn-batch, gn or ln
    # images that share their statistics; None, or an empty cell of a table, if none do
    batch_size: Annotated[int | None, BeforeValidator(lambda cell: cell or None)]
    shift: str  # one of shifted_images.SHIFTS
    severity: float  # in the unit of params.yaml


@dataclass(frozen=True)
class Row(Case):
    """A row of reports/shifts.csv."""

    accuracy: Fraction

    @property
    def case(self) -> Case:
        """The case that the accuracy belongs to."""
        return Case(**{field.name: getattr(self, field.name) for field in fields(Case)})


@dataclass(frozen=True)
class SeededRow(Row):
    """A row of a record with several seeds."""

    seed: int
    recipe: str  # the digest of the training's recipe


def score_shifts(
    network: nn.Module,
    model: str,
    split: Split,
    pixels: Pixels,
    params: ShiftParams,
    device: torch.device = _CPU,
    workers: int = 1,
) -> list[Row]:
    """Score ``network``, a ``model`` (bn, gn or ln), on all shifts of ``split``.

    ``workers`` shifts are scored at once; their number changes no result.
    """
    # Here, for it imports torchvision, which takes two seconds; who reads the table is spared them.
    from stages.evaluation.shifted_images import shift_images

    cases = list_cases(model, params)
    plain = _laid_out(network.to(device))
    networks: dict[int | None, nn.Module] = {None: plain}
    for size in {case.batch_size for case in cases if case.batch_size is not None}:
        networks[size] = with_batch_statistics(plain, size)

    def read(shifted: Split, case: Case) -> Row:
        size = case.batch_size
        at_once = 100 if size is None else size * max(1, 100 // size)
        logits = compute_logits(networks[size], shifted, pixels, device, at_once)
        is_right = logits.argmax(dim=1).cpu() == shifted.labels
        return Row(**vars(case), accuracy=round(float(is_right.double().mean()), 6))

    def read_all(one: Shift) -> list[Row]:
        shifted = Split(split.name, shift_images(split.images, *one), split.labels)
        return [read(shifted, case) for case in cases if (case.shift, case.severity) == one]

    with ThreadPoolExecutor(workers) as pool:
        return [row for rows in pool.map(read_all, list_sets(params)) for row in rows]


def list_cases(model: str, params: ShiftParams) -> list[Case]:
    """Return all cases that ``params`` ask for, for ``model`` (bn, gn or ln)."""
    with_all_sizes = CLEAN, *(("contrast", factor) for factor in params.contrast[-1:])
    cases = []
    for one in list_sets(params):
        cases.append(Case(model, model, None, *one))
        if model == "bn":
            others = params.test_batches if one in with_all_sizes else []
            sizes = dict.fromkeys([params.test_batch, *others])
            cases += [Case(model, "bn-batch", size, *one) for size in sizes]
    return cases


def list_sets(params: ShiftParams) -> list[Shift]:
    """Return the shifts and severities that ``params`` ask for, preceded by no shift at all."""
    severities = params.model_dump(exclude={"test_batch", "test_batches"})
    severities["inversion"] = [1] * params.inversion
    return [CLEAN, *((shift, float(x)) for shift, some in severities.items() for x in some)]


def _laid_out(network: nn.Module) -> nn.Module:
    """Return a copy of ``network`` with the memory layout in which it runs fastest.

    That is channels last. Group normalization in several groups is slow with it, so there only
    the pooling and the convolution before it get it, which are slow without.
    """
    network = copy.deepcopy(network)
    layers = network.modules()
    if not any(isinstance(layer, nn.GroupNorm) and layer.num_groups > 1 for layer in layers):
        return network.to(memory_format=torch.channels_last)
    network.get_submodule("squeeze").register_forward_pre_hook(
        lambda _, inputs: inputs[0].contiguous(memory_format=torch.channels_last)
    )
    network.get_submodule("max_pool").register_forward_hook(
        lambda _, inputs, output: output.contiguous()
    )
    return network


def write_shifts(rows: Iterable[Row]) -> None:
    """Write ``rows`` as a CSV file."""
    write_rows(SHIFTS_PATH, [asdict(row) for row in rows])


def read_shifts(params: ShiftParams) -> dict[Case, float]:
    """Read the accuracies that ``write_shifts`` wrote.

    Raises:
        PipelineError: the file is missing or damaged, or belongs to other ``params``.
    """
    rows = read_table(TypeAdapter(list[Row]), SHIFTS_PATH, WHAT, REMEDY)
    if [row.case for row in rows] != [x for model in MODELS for x in list_cases(model, params)]:
        raise PipelineError(f"{SHIFTS_PATH} is not of the shifts in params.yaml; {REMEDY}")
    return {row.case: row.accuracy for row in rows}
