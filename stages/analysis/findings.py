"""All that the report says and shows, judged once from what the other stages found."""

from dataclasses import dataclass

from stages.analysis.advice import Advice, advise
from stages.analysis.causes import Causes, find_causes
from stages.analysis.evidence import Evidence, find_main_study, weigh
from stages.analysis.failures import Failure, find_failures
from stages.analysis.gradients import Growth, find_growth
from stages.analysis.inputs import Inputs
from stages.analysis.shifts import Shifts, compare_seeds_by_shift
from stages.analysis.studies import Studies, compare_studies
from stages.core.params import MODELS, Params


@dataclass(frozen=True)
class Findings:
    """What the documents are filled with, under these names."""

    params: Params
    inputs: Inputs
    failures: dict[str, Failure]  # why models did not learn, by model
    evidence: Evidence
    shifts: Shifts
    causes: Causes | None  # None before interventions are on record
    growth: list[Growth]  # of gradients with depth; none before they are on record
    studies: Studies
    advice: list[Advice]  # what to take in which situation


def judge(params: Params, inputs: Inputs) -> Findings:
    """Judge the ``inputs``."""
    margin = params.report.equivalence_margin / 100
    evidence = weigh(inputs, params.train.seed, margin)
    main = find_main_study(inputs.studies)
    cells = {model: main.cells[model][0] for model in MODELS} if main else {}
    over_seeds = compare_seeds_by_shift(params, {"": cells}) if cells else {}
    shifts = over_seeds.get("") or Shifts(params.shifts, inputs.shifted, {}, 1, [])
    causes = find_causes(params, inputs.interventions, inputs.distances, cells) if cells else None
    studies = compare_studies(inputs.studies, params)
    return Findings(
        params=params,
        inputs=inputs,
        failures=find_failures(inputs),
        evidence=evidence,
        shifts=shifts,
        causes=causes,
        growth=find_growth(inputs.gradients),
        studies=studies,
        advice=advise(evidence, shifts, studies),
    )
