"""All that the report says and shows, judged once from what the other stages found."""

from dataclasses import dataclass

from stages.analysis.advice import Advice, advise
from stages.analysis.causes import Causes, find_causes
from stages.analysis.comparison import Comparison
from stages.analysis.evidence import Evidence, compare_one_run, find_main_study, weigh
from stages.analysis.failures import Failure, find_failures
from stages.analysis.gradients import Growth, find_growth
from stages.analysis.inference import Interval, proportion_interval
from stages.analysis.inputs import Inputs
from stages.analysis.mistakes import Mistake, calibration_error, find_mistakes, find_overlaps
from stages.analysis.shifts import Shifts, compare_by_shift, compare_seeds_by_shift
from stages.analysis.studies import Studies, compare_studies
from stages.core.params import MODELS, Params


@dataclass(frozen=True)
class Standing:
    """What the result table says of a model beside its metrics."""

    interval: Interval  # of the test accuracy
    epochs_to_99: int | None  # the first epoch after which 99 % were right
    calibration_error: float


@dataclass(frozen=True)
class Findings:
    """What the documents are filled with, under these names."""

    params: Params
    inputs: Inputs
    standings: dict[str, Standing]  # by model
    mistakes: dict[str, list[Mistake]]  # by model, the most confident first
    overlaps: dict[tuple[str, ...], list[Mistake]]  # by the models that get the image wrong
    failures: dict[str, Failure]  # why models did not learn, by model
    evidence: Evidence
    one_run: list[Comparison]  # what the images alone show of the networks of one run
    shifts: Shifts
    causes: Causes | None  # None before interventions are on record
    growth: list[Growth]  # of gradients with depth; none before they are on record
    studies: Studies
    advice: list[Advice]  # what to take in which situation


def judge(params: Params, inputs: Inputs) -> Findings:
    """Judge the ``inputs``."""
    failures = find_failures(inputs)
    learned = [model for model in MODELS if model not in failures]
    margin = params.report.equivalence_margin / 100
    evidence = weigh(inputs, learned, params.train.seed, margin)
    mistakes = {model: find_mistakes(guesses) for model, guesses in inputs.guesses.items()}
    shifts = _compare_on_shifted(params, inputs, learned)
    studies = compare_studies(inputs.studies, params)
    return Findings(
        params=params,
        inputs=inputs,
        standings={model: _place(model, inputs) for model in MODELS},
        mistakes=mistakes,
        overlaps=find_overlaps(mistakes),
        failures=failures,
        evidence=evidence,
        one_run=compare_one_run(inputs, learned),
        shifts=shifts,
        causes=_find_causes(params, inputs),
        growth=find_growth(inputs.gradients),
        studies=studies,
        advice=advise(evidence, shifts, studies),
    )


def _compare_on_shifted(params: Params, inputs: Inputs, learned: list[str]) -> Shifts:
    """Compare over several seeds if they are on record, else one network of each."""
    if study := find_main_study(inputs.studies):
        cells = {model: study.cells[model][0] for model in MODELS}
        if found := compare_seeds_by_shift(params, {"": cells}, list(MODELS)):
            return found[""]
    return compare_by_shift(params.shifts, inputs.shifted, inputs.test.labels, learned)


def _find_causes(params: Params, inputs: Inputs) -> Causes | None:
    study = find_main_study(inputs.studies)
    if study is None:
        return None
    cells = {model: study.cells[model][0] for model in MODELS}
    return find_causes(params, inputs.interventions, inputs.distances, cells)


def _place(model: str, inputs: Inputs) -> Standing:
    metrics, total = inputs.metrics[model], len(inputs.test)
    reached = (e.number for e in inputs.histories[model] if e.followed.accuracy >= 0.99)
    return Standing(
        interval=proportion_interval(total - metrics.errors, total),
        epochs_to_99=next(reached, None),
        calibration_error=calibration_error(inputs.guesses[model]),
    )
