"""What the evidence supports, in sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.core.params import MODELS
from stages.reporting.evidence import Comparison, Evidence


@dataclass(frozen=True)
class Claim:
    """What people would like to say, the verdict of the evidence on it, and its reason."""

    subject: str
    verdict: str
    reason: str


def judge(evidence: Evidence) -> list[Claim]:
    """Judge the claims that the values suggest, and how each pair compares."""
    if len(evidence.test_accuracy) < 2:
        return []
    by_accuracy, by_gap = evidence.by_accuracy, evidence.by_gap
    best = max(evidence.test_accuracy, key=evidence.test_accuracy.__getitem__)
    smallest = min(evidence.accuracy_gap, key=evidence.accuracy_gap.__getitem__)
    largest = max(evidence.accuracy_gap, key=evidence.accuracy_gap.__getitem__)
    pairs = [
        Claim(
            f"test accuracy of {x.first} and {x.second}",
            judge_pair(x, evidence.margin),
            explain(x, evidence.margin, evidence.unit),
        )
        for x in by_accuracy
    ]
    return [
        _judge_extreme(f"{best} has the best test accuracy", best, by_accuracy),
        _judge_extreme(f"{smallest} has the smallest train-test gap", smallest, by_gap),
        _judge_extreme(f"{largest} overfits most (largest gap)", largest, by_gap),
        *pairs,
    ]


def _judge_extreme(statement: str, model: str, comparisons: list[Comparison]) -> Claim:
    """Judge that ``model`` stands apart from both others."""
    if not comparisons:
        return Claim(
            statement, "not supported", "one run of each model cannot tell; several seeds can"
        )
    with_model = [x for x in comparisons if model in (x.first, x.second)]
    reasons = [
        f"{'apart from' if x.is_shown else 'no difference shown from'} "
        f"{x.second if x.first == model else x.first} ({format_p(x.p_value)})"
        for x in with_model
    ]
    is_supported = all(x.is_shown for x in with_model)
    verdict = "supported" if is_supported else "not supported"
    return Claim(statement, verdict, "; ".join(reasons))


def judge_pair(comparison: Comparison, margin: float) -> str:
    """Say that the two differ, are equal within ``margin``, or that neither is settled."""
    if comparison.is_shown:
        return "differ"
    return equal_within(margin) if comparison.is_equal else "not settled"


def equal_within(margin: float) -> str:
    """Name the verdict on two whose difference is shown to be below ``margin``, a fraction."""
    return f"equal within {_in_points(margin)}"


def _in_points(margin: float) -> str:
    return f"{100 * margin:g} points"


def explain(comparison: Comparison, margin: float, unit: str) -> str:
    """Give the reason for the verdict on a pair; ``unit`` is what is counted: seeds or images."""
    found = describe_difference(comparison)
    if comparison.is_shown:
        return f"{found}{though_small([comparison], margin)}"
    if comparison.is_equal:
        p = format_p(comparison.p_equivalence)
        return f"{found}; a difference of {_in_points(margin)} or more is ruled out ({p})"
    return f"no difference shown: {found}{_needed(comparison, unit)}"


def though_small(shown: Sequence[Comparison], margin: float) -> str:
    """Add that differences, though ``shown``, are shown to be small."""
    if not shown or not all(x.is_equal for x in shown):
        return ""
    subjects = {1: "the difference is", 2: "both differences are"}
    return f"; {subjects.get(len(shown), 'all are')} below {_in_points(margin)}"


def describe_difference(comparison: Comparison) -> str:
    """Say how far the better model is above the other, and how likely that is by chance."""
    if comparison.difference == 0:
        return f"{comparison.first} and {comparison.second} are equal ({_each_p(comparison)})"
    ahead, behind = in_order(comparison)
    size = format_points(abs(comparison.difference), 3)
    return f"{ahead} is {size} above {behind}{describe_support(comparison)}"


def in_order(comparison: Comparison) -> tuple[str, str]:
    """Return the names of the two, the better one first."""
    first, second = comparison.first, comparison.second
    return (first, second) if comparison.difference > 0 else (second, first)


def describe_support(comparison: Comparison) -> str:
    """Add to a difference its interval, if it has one, and how likely it is by chance."""
    ends = format_ends(comparison, 3)
    return f"{f', 95 % interval {ends}' if ends else ''} ({_each_p(comparison)})"


def format_ends(comparison: Comparison, digits: int) -> str:
    """Write the interval of the better one minus the other in points; "" if there is none."""
    if comparison.interval is None:
        return ""
    sign = 1 if comparison.difference > 0 else -1
    low, high = sorted(sign * end for end in (comparison.interval.low, comparison.interval.high))
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f}"


def _each_p(comparison: Comparison) -> str:
    p = format_p(comparison.p_value)
    if comparison.p_sign_flips is not None:
        p += f", by sign flips {format_p(comparison.p_sign_flips)}"
    return p


def _needed(comparison: Comparison, unit: str) -> str:
    if comparison.needed is None:
        return ""
    each = " of each" if unit == "seeds" else ""
    rounded = round(comparison.needed, 1 - len(str(comparison.needed)))
    return f"; it would take about {rounded:,} {unit}{each} to show a difference of that size"


def format_p(p_value: float) -> str:
    """Write a p-value with two significant digits."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def format_share(share: float, digits: int = 2) -> str:
    """Write a fraction as people read it."""
    return f"{100 * share:.{digits}f} %"


def format_points(difference: float, digits: int = 2) -> str:
    """Write a difference of fractions in percentage points."""
    return f"{100 * difference:.{digits}f} points"


def answer(evidence: Evidence, failures: Mapping[str, str] | None = None) -> str:
    """Answer in a few sentences: which normalization here, and how sure is that?

    ``failures``, why models did not learn, by model, come first.
    """
    told = []
    if failures:
        reasons = "; ".join(f"{model} did not learn: {why}" for model, why in failures.items())
        told.append(f"{reasons}. Nothing is claimed about the normalization of a model like that.")
    if len(evidence.test_accuracy) >= 2:
        told.append(_recommend(evidence))
    return " ".join(told)


def _recommend(evidence: Evidence) -> str:
    best = max(evidence.test_accuracy, key=evidence.test_accuracy.__getitem__)
    shown = [x for x in evidence.by_accuracy if x.is_shown]
    behind = {x.second if x.difference > 0 else x.first for x in shown}
    level = [model for model in evidence.test_accuracy if model not in behind]
    accuracies = ", ".join(
        f"{model} {format_share(share, 3)}" for model, share in evidence.test_accuracy.items()
    )
    number = "three" if len(evidence.test_accuracy) == len(MODELS) else "two"
    caution = (
        f" That compares these {number} networks; comparing normalizations takes several seeds."
        if evidence.unit == "images"
        else ""
    )
    basis = f"{evidence.basis[0].upper()}{evidence.basis[1:]}"
    leads = " and ".join(map(describe_difference, shown)) + though_small(shown, evidence.margin)
    if len(level) == 1:
        return f"Use {best}. {basis}: {accuracies}; {leads}.{caution}"
    if behind:
        (between,) = [x for x in evidence.by_accuracy if {x.first, x.second} == set(level)]
        both = " and ".join(level)
        rest = (
            f"{both} are {equal_within(evidence.margin)}"
            if between.is_equal
            else f"between {both} no difference in test accuracy is shown"
        )
        return f"Use {' or '.join(level)}. {basis}: {accuracies}; {leads}; {rest}.{caution}"
    if all(x.is_equal for x in evidence.by_accuracy):
        return (
            f"Use {_any_of(level)}: in test accuracy they are {equal_within(evidence.margin)}"
            f"{_bound(evidence)}. {basis}: {accuracies}."
        )
    widest = max(evidence.by_accuracy, key=lambda x: abs(x.difference))
    return (
        f"Use {_any_of(level)}: no difference in test accuracy is shown{_bound(evidence)}. "
        f"{basis}: {accuracies}; {describe_difference(widest)}"
        f"{_needed(widest, evidence.unit)}.{caution}"
    )


def tell_of_sign_flips(evidence: Evidence) -> str:
    """Say whether the exact test and Student's agree on the pairs' test accuracies."""
    if not evidence.num_seeds or not evidence.by_accuracy:
        return ""
    if not evidence.can_flips_show:
        return (
            f"With {evidence.num_seeds} seeds, the exact sign-flip test could not show any "
            "difference: its p-value cannot get small enough."
        )
    if not evidence.disagreements:
        return "The exact sign-flip test agrees with the paired test on every pair."
    pairs = ", ".join(f"{x.first} and {x.second}" for x in evidence.disagreements)
    return f"The exact sign-flip test disagrees with the paired test on {pairs}."


def _any_of(models: Sequence[str]) -> str:
    return "any of the three" if len(models) == len(MODELS) else " or ".join(models)


def _bound(evidence: Evidence) -> str:
    """Say how large a difference the intervals leave possible, if all pairs have one."""
    intervals = [x.interval for x in evidence.by_accuracy if x.interval is not None]
    if len(intervals) < len(evidence.by_accuracy):
        return ""
    largest = max(max(-interval.low, interval.high) for interval in intervals)
    bound = format_points(largest, 3)
    return f", and with 95 % confidence no difference is larger than {bound} on these images"
