"""The findings as files: one word each for `dvc metrics diff`, and the numbers behind them."""

import csv
import io
from collections.abc import Iterator
from itertools import combinations

from stages.analysis.advice import Advice
from stages.analysis.comparison import Comparison, Verdict
from stages.analysis.findings import Findings
from stages.analysis.shifts import kind_of
from stages.core.params import MODELS
from stages.evaluation.shifts import CLEAN
from stages.reporting.formats import listed
from stages.reporting.why import describe
from stages.reporting.words import name_kind, name_where

_OPEN = str(Verdict.OPEN)


def list_verdicts(found: Findings) -> dict[str, str]:
    """Return one short string for each finding that a change of parameters may turn.

    On clean images, pair by pair; on each kind of shifted images; and for the situations of
    studies.yaml that name a ``finding``. One run of each model settles nothing.
    """
    by_pair = {(x.first, x.second): x for x in found.evidence.by_accuracy}
    verdicts = {}
    for pair in combinations(MODELS, 2):
        verdict = _OPEN
        if found.evidence.seeds:
            x = by_pair[pair]
            verdict = f"{x.order[0]} better" if x.differs else str(x.verdict)
        elif failed := [model for model in pair if model in found.failures]:
            verdict = f"{listed(failed)} did not learn"
        verdicts[f"clean_{'_'.join(pair)}"] = verdict
    sets = {(x.shift, x.severity): None for x in found.shifts.accuracy}
    kinds = dict.fromkeys(kind_of(x) for x in sets if x != CLEAN)
    verdicts |= {name_kind(kind).replace(" ", "_"): _OPEN for kind in kinds}
    for row in found.advice:
        if row.situation.finding:
            verdicts[row.situation.finding] = _take(row)
        if row.section == "shifts" and not row.of_bn_alone:
            verdicts |= {name_kind(kind).replace(" ", "_"): _take(row) for kind in row.kinds}
    return verdicts


def _take(row: Advice) -> str:
    if not row.choice.is_usable:
        return "none"
    return listed(row.choice.best, "or") or _OPEN


def render_comparisons(found: Findings) -> str:
    """Return all that was compared as CSV: fractions of six digits, and the verdicts."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = (
        *("finding", "place", "first", "second", "of_first", "of_second", "difference"),
        *("low", "high", "p_value", "p_equivalence", "p_sign_flips", "verdict", "seeds"),
    )
    writer.writerow(header)
    for finding, x in _each_comparison(found):
        ends = x.interval or (None, None)
        numbers = (*x.accuracies, x.difference, *ends, x.p_value, x.p_equivalence, x.p_sign_flips)
        shown = ["" if n is None else f"{n:.6g}" for n in numbers]
        verdict = "both diverged" if x.both_diverged else x.verdict
        names = finding, name_where(x) or x.place, x.first, x.second
        writer.writerow((*names, *shown, verdict, x.num_seeds))
    return text.getvalue()


def _each_comparison(found: Findings) -> Iterator[tuple[str, Comparison]]:
    yield from (("clean", x) for x in found.evidence.by_accuracy)
    yield from (("gap", x) for x in found.evidence.by_gap)
    yield from (("shifts", x) for x in found.shifts.comparisons)
    for one in found.studies.shifted:
        yield from ((one.name, x) for x in one.shifts.comparisons)
    for question in found.studies.questions:
        yield from ((question.name, x) for x in question.comparisons)
    for case, effect in found.causes.effects.items() if found.causes else ():
        yield describe(case), effect.comparison
