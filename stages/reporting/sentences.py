"""What the report says of what was judged: values in, sentences out."""

import math
from collections.abc import Sequence

from stages.analysis.advice import choose
from stages.analysis.comparison import Comparison, Verdict, can_flips_show
from stages.analysis.evidence import Evidence
from stages.analysis.failures import LOSS_OF_GUESSING, Failure
from stages.analysis.findings import Findings
from stages.analysis.shifts import BATCH, Shifts, find_enough
from stages.core.params import MODELS, Params
from stages.evaluation.shifts import CLEAN
from stages.reporting.figures.style import NAMES
from stages.reporting.formats import (
    capitalized,
    count_digits,
    counted,
    format_interval,
    format_margin,
    format_p,
    format_points,
    format_share,
    format_support,
    listed,
)
from stages.reporting.words import name_arm, name_pair, name_shift, name_where

_REMARKS = {  # on the larger of two accuracies
    Verdict.DIFFER: "",
    Verdict.EQUAL: "no difference shown: ",
    Verdict.OPEN: "not settled with {} seeds: ",
}


def tell(x: Comparison) -> str:
    """Say how accurate both are, the better one first, how far apart, and how sure that is."""
    return f"{_tell_both(x)} ({format_support(x)})"


def tell_briefly(x: Comparison) -> str:
    """Say the same without the p-value."""
    return f"{_tell_both(x)} ({format_interval(x) or format_p(x.p_value)})"


def _tell_both(x: Comparison) -> str:
    digits = count_digits(x)
    of = dict(zip((x.first, x.second), x.accuracies, strict=True))
    shown = max(digits, 1)
    both = ", ".join(f"{name_arm(x.of, name)} {format_share(of[name], shown)}" for name in x.order)
    return f"{both}, {format_points(x.size, digits)} apart"


def tell_verdict(x: Comparison, margin: float) -> str:
    """Say that the two differ, are equal within ``margin`` (a fraction), or that it is open."""
    if x.both_diverged:
        return "both diverged"
    return equal_within(margin) if x.verdict == Verdict.EQUAL else str(x.verdict)


def equal_within(margin: float) -> str:
    """Name the verdict on two whose difference is shown to be below ``margin``, a fraction."""
    return f"equal within {format_margin(margin)}"


def explain(x: Comparison, margin: float) -> str:
    """Give the reason for the verdict."""
    is_small = x.differs and x.is_within_margin
    return f"{tell(x)}, below {format_margin(margin)}" if is_small else tell(x)


def answer(found: Findings, margin: float) -> str:
    """Answer in a few sentences: which normalization here, and how sure is that?"""
    told = [f"{model} did not learn: {tell_failure(why)}." for model, why in found.failures.items()]
    if told and not found.evidence.seeds:
        told.append("Nothing is claimed about the normalization of a model like that.")
    told.append(_recommend(found.evidence, margin, len(found.inputs.test)))
    return " ".join(told)


def tell_failure(why: Failure) -> str:
    """Say why a model did not learn."""
    right = f"its final weights get {format_share(why.test_accuracy)} of the test images right"
    match why.by:
        case "accuracy":
            return right
        case "loss":
            guessing = f"{LOSS_OF_GUESSING:.3f}"
            return f"its test loss is {why.test_loss:.4g}, above that of guessing ({guessing})"
    return f"{right}, but reached {format_share(why.best_accuracy)} in training"


def _recommend(evidence: Evidence, margin: float, num_images: int) -> str:
    shares = [f"{NAMES[m]} ({m}) reads {format_share(x)}" for m, x in evidence.accuracy.items()]
    if not evidence.seeds:
        return (
            f"On the same {num_images:,} test images, one run each, {', '.join(shares)}. That "
            "compares three networks; comparing normalizations takes several seeds: `make seeds` "
            "trains five."
        )
    pairs, best = evidence.by_accuracy, choose(evidence.by_accuracy).best or list(MODELS)
    use = "any of the three" if len(best) == len(MODELS) else listed(best, "or")
    basis = f"Over {len(evidence.seeds)} seeds each"
    parts = [f"{basis}, {', '.join(shares)}", *(tell_briefly(x) for x in pairs if x.differs)]
    if len(best) < len(MODELS):
        both = [x for x in pairs if {x.first, x.second} <= set(best)]
        parts += [f"{name_pair(x)}: {tell_verdict(x, margin)}" for x in both]
    else:
        are_equal = all(x.verdict == Verdict.EQUAL for x in pairs)
        apart = equal_within(margin) if are_equal else "not shown to differ"
        ends = [max(-x.interval.low, x.interval.high) for x in pairs if x.interval]
        if ends:
            images = math.ceil(num_images * max(ends))
            apart += f": with 95 % confidence, at most {images:,} of {num_images:,} images apart"
        parts.append(f"their means are {apart}")
    return f"Use {use}. {'; '.join(parts)}."


def list_claims(evidence: Evidence, margin: float) -> list[tuple[str, str, str]]:
    """Return what people would like to say, the verdict of the evidence on it, and its reason."""
    by_accuracy, by_gap = evidence.by_accuracy, evidence.by_gap
    best = max(evidence.accuracy, key=evidence.accuracy.__getitem__)
    smallest = min(evidence.gap, key=evidence.gap.__getitem__)
    largest = max(evidence.gap, key=evidence.gap.__getitem__)
    return [
        _judge_extreme(f"{best} has the best test accuracy", best, by_accuracy, margin),
        _judge_extreme(f"{smallest} has the smallest train-test gap", smallest, by_gap, margin),
        _judge_extreme(f"{largest} overfits most (largest gap)", largest, by_gap, margin),
        *(
            (f"test accuracy of {name_pair(x)}", tell_verdict(x, margin), explain(x, margin))
            for x in by_accuracy
        ),
    ]


def _judge_extreme(
    statement: str, model: str, comparisons: Sequence[Comparison], margin: float
) -> tuple[str, str, str]:
    """Judge that ``model`` stands apart from all others."""
    of_model = [x for x in comparisons if model in (x.first, x.second)]
    is_supported = all(x.differs for x in of_model)
    verdicts = [f"{name_pair(x)}: {tell_verdict(x, margin)}" for x in of_model]
    return statement, "supported" if is_supported else "not supported", "; ".join(verdicts)


def tell_of_seeds(evidence: Evidence, params: Params) -> str:
    """Say what is wrong with the seeds beside the run that the report is about, "" if nothing."""
    path = "reports/studies/seeds.csv"
    if not evidence.seeds:
        return (
            f"This is one run of each: {path} does not hold two seeds of every model with these "
            "parameters. `make seeds` trains five."
        )
    if not evidence.others:
        return ""
    return (
        f"In {path}, seed {params.train.seed} of {listed(evidence.others)} differs from this run: "
        "it was trained with other threads, on another device or type of machine, or by other "
        "versions or code. To train all seeds again, remove the file and run `make seeds`."
    )


def tell_of_flips(comparisons: Sequence[Comparison]) -> str:
    """Say whether the exact test and Student's agree; "" if there are no comparisons over seeds."""
    compared = [x for x in comparisons if not x.both_diverged]
    if not compared:
        return ""
    num_seeds, total = max(x.num_seeds for x in compared), len(compared)
    if not can_flips_show(total, num_seeds):
        return (
            f"With {num_seeds} seeds, the exact sign-flip test could not show a difference: its "
            "p-value cannot get small enough."
        )
    disputed = sum(x.is_disputed for x in compared)
    agrees = f"disagrees with the paired test on {disputed} of" if disputed else "agrees on all"
    return f"The exact sign-flip test {agrees} {counted(total, 'comparison')}."


def list_shifts(shifts: Shifts) -> list[tuple[str, str]]:
    """Return each shift at the severity where the models differ most, and what is found there."""
    return [
        (capitalized(name_where(x)), f"{_REMARKS[x.verdict].format(x.num_seeds)}{tell(x)}.")
        for x in shifts.largest
    ]


def list_exceptions(found: Findings) -> list[str]:
    """Return when the answer turns, as far as such situations are on record."""
    turns = []
    usual = found.params.train.epochs
    studies = [x.study for x in found.studies.questions] + [x.study for x in found.studies.shifted]
    epochs = {study.name: study.epochs(usual) for study in studies}
    largest = next(iter(found.shifts.largest), None)
    if largest and largest.differs:
        most = _tell_case(largest, usual)
        turns.append(f"test images are unlike those in training, most of all {most}")
    for row in found.advice:
        worse = [x for x in row.choice.worse if {x.first, x.second} <= set(MODELS)]
        if row.situation.headline and worse:
            worst = max(worse, key=lambda x: x.size)
            turns.append(f"{row.situation.text}: {_tell_case(worst, epochs[row.study])}")
    return turns


def _tell_case(x: Comparison, epochs: int) -> str:
    where = f"with {name_shift(x.shift)}: " if x.shift != CLEAN else ""
    trained = f"{counted(x.num_seeds, 'seed')}, {counted(epochs, 'epoch')}"
    return f"{where}{_tell_both(x)} ({format_interval(x)}; {trained})"


def tell_of_statistics(shifts: Shifts) -> str:
    """Say where the statistics of the test batch help bn most, and where they harm it most."""
    gain, loss = (shifts.most_by_batch(is_gain=one) for one in (True, False))
    both = ("gains", gain), ("loses", loss)
    told = [f"{verb} most with {name_where(x)}: {tell(x)}" for verb, x in both if x]
    if not any(x.first == BATCH for x in shifts.comparisons):
        return ""
    if not told:
        return "No difference between bn and bn-batch is shown."
    return f"Compared with bn, bn-batch {'; it '.join(told)}."


def tell_of_sizes(shifts: Shifts) -> str:
    """Say how accurate bn is by the number of images in the test batch, and which are enough."""
    told = []
    for shift, by_size in shifts.by_size.items():
        images = "On clean images" if shift == CLEAN else f"With {name_shift(shift)}"
        shares = ", ".join(f"{format_share(x, 1)} with {size}" for size, x in by_size.items())
        near = f"from {find_enough(by_size)} on, within a point of what {max(by_size)} give"
        told.append(f"{images} bn-batch gets {shares} images at a time: {near}.")
    return " ".join(told)
