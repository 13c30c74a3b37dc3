"""All that the report says and shows, computed once from what the other stages found."""

from dataclasses import dataclass
from typing import Any

import torch

from stages.core.params import MODELS, Params
from stages.reporting.advice import Advice, advise
from stages.reporting.claims import Claim, answer, describe_difference, judge, tell_of_sign_flips
from stages.reporting.draw import describe_drawing
from stages.reporting.evidence import Evidence, compare_by_images, weigh
from stages.reporting.failures import find_failures
from stages.reporting.inference import Interval, proportion_interval
from stages.reporting.mistakes import Mistake, calibration_error, find_mistakes, find_overlaps
from stages.reporting.provenance import describe_report, read_pins
from stages.reporting.results import Results
from stages.reporting.seeds import Seeds, describe_seeds
from stages.reporting.shifts import ShiftFindings, find_shifts
from stages.reporting.studies import Studies
from stages.reporting.words import WORDS, Words
from stages.reporting.worked_example import read_example


@dataclass(frozen=True)
class Standing:
    """What the result table says of a model beside its metrics."""

    interval: Interval  # of the test accuracy
    epochs_to_99: int | None  # the first epoch after which 99 % were right
    calibration_error: float


@dataclass(frozen=True)
class Findings:
    """What both documents are filled with, under these names."""

    params: Params
    words: Words  # for the data set
    results: Results
    standings: dict[str, Standing]  # by model
    mistakes: dict[str, list[Mistake]]  # by model, the most confident first
    overlaps: dict[tuple[str, ...], list[Mistake]]  # by the models that get the image wrong
    seeds: Seeds | None
    about_seeds: str  # what is wrong with them, "" if nothing
    failures: dict[str, str]  # why models did not learn, by model
    evidence: Evidence
    answer: str
    claims: list[Claim]
    of_sign_flips: str  # whether they agree with Student's test, "" without seeds
    shifts: ShiftFindings
    studies: Studies
    advice: list[Advice]  # which to take in which situation
    of_one_run: str  # what the images alone show of the networks of one run
    example: torch.Tensor  # of how they normalize: activations [4, 4, 2, 2]
    drawing: dict[str, Any]  # what the page's part that reads drawings computes with
    software: dict[str, str]  # that trained the models
    packages: dict[str, str]  # that made the report
    pins: dict[str, str]  # MD5s by path


def find(params: Params, results: Results, seeds: Seeds | None, studies: Studies) -> Findings:
    """Compute what the report says of ``results``, of ``seeds``, if it has them, and ``studies``.

    Raises:
        PipelineError: dvc.lock is damaged, or the worked example is missing or damaged.
    """
    failures = find_failures(results, seeds)
    learned = [model for model in MODELS if model not in failures]
    margin = params.report.equivalence_margin / 100
    evidence = weigh(results, seeds, learned, margin)
    compared = compare_by_images({model: results.guesses[model] for model in learned})
    mistakes = {model: find_mistakes(guesses) for model, guesses in results.guesses.items()}
    shifts = find_shifts(params, results.shifted, results.test.labels, learned)
    return Findings(
        params=params,
        words=WORDS[params.data.name],
        results=results,
        standings={model: _place(model, results) for model in MODELS},
        mistakes=mistakes,
        overlaps=find_overlaps(mistakes),
        seeds=seeds,
        about_seeds=describe_seeds(seeds, params, results.metrics),
        failures=failures,
        evidence=evidence,
        answer=answer(evidence, failures),
        claims=judge(evidence),
        of_sign_flips=tell_of_sign_flips(evidence),
        shifts=shifts,
        studies=studies,
        advice=advise(evidence, shifts, studies, margin),
        of_one_run="; ".join(map(describe_difference, compared)),
        example=read_example(),
        drawing=describe_drawing(results.checkpoints, results.test, WORDS[params.data.name]),
        software=_join_software(results.software),
        packages=describe_report(),
        pins=read_pins(),
    )


def _place(model: str, results: Results) -> Standing:
    metrics, total = results.metrics[model], len(results.test)
    reached = (e.number for e in results.histories[model] if e.followed.accuracy >= 0.99)
    return Standing(
        interval=proportion_interval(total - metrics.errors, total),
        epochs_to_99=next(reached, None),
        calibration_error=calibration_error(results.guesses[model]),
    )


def _join_software(software: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return what trained the models; where they differ, in the order of the models."""
    names = dict.fromkeys(name for of_model in software.values() for name in of_model)
    found = {name: [of_model.get(name, "?") for of_model in software.values()] for name in names}
    return {name: ", ".join(dict.fromkeys(values)) for name, values in found.items()}
