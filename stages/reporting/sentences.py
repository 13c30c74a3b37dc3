"""What the report says of what was judged: values in, sentences out."""

from collections.abc import Sequence

from stages.analysis.advice import Advice
from stages.analysis.comparison import Comparison, Verdict, can_flips_show
from stages.analysis.evidence import Evidence
from stages.analysis.failures import LOSS_OF_GUESSING, Failure
from stages.analysis.findings import Findings
from stages.analysis.shifts import BATCH, Shifts
from stages.analysis.studies import Question
from stages.core.params import MODELS, Params, ShiftParams
from stages.evaluation.readings import NUM_IMAGES
from stages.evaluation.shifts import CLEAN, list_sets
from stages.records.summary import axis_of, show, tell_of_record
from stages.reporting.formats import (
    format_ends,
    format_margin,
    format_p,
    format_points,
    format_share,
    is_number,
    listed,
)
from stages.reporting.words import SHIFTS, name_kind, name_shift

_YES_OR_NO = {"yes": "if it is", "no": "if it is not"}
_CALLED = {"none": "no normalization"}
_READINGS = {  # of bn, as the table names them
    **dict.fromkeys(("running", "bn"), "bn with its running averages"),
    **dict.fromkeys(("batch", BATCH), "bn with the statistics of the test batch"),
    "recomputed": "bn with recomputed statistics",
}
_ABOUT_READINGS = (
    "bn normalizes with its running averages; with statistics recomputed for the final weights "
    f"from {NUM_IMAGES:,} training images (Wu and Johnson 2021); or with those of each test batch."
)


# Two that were compared


def call(name: str) -> str:
    """Return what a model or a reading is called."""
    return _CALLED.get(name, name)


def tell_verdict(x: Comparison, margin: float) -> str:
    """Say that the two differ, are equal within ``margin``, or that neither is settled."""
    if x.both_diverged:
        return "both diverged"
    return equal_within(margin) if x.verdict == Verdict.EQUAL else str(x.verdict)


def equal_within(margin: float) -> str:
    """Name the verdict on two whose difference is shown to be below ``margin``, a fraction."""
    return f"equal within {format_margin(margin)}"


def explain(x: Comparison, margin: float) -> str:
    """Give the reason for the verdict."""
    if x.both_diverged:
        return "with every seed"
    found = describe_difference(x)
    match x.verdict:
        case Verdict.DIFFER:
            return f"{found}{_though_small([x], margin)}"
        case Verdict.EQUAL:
            p = format_p(x.p_equivalence)
            return f"{found}; a difference of {format_margin(margin)} or more is ruled out ({p})"
    return f"no difference shown: {found}{_tell_needed(x)}"


def describe_difference(x: Comparison) -> str:
    """Say how far the better one is above the other, and how likely that is by chance."""
    ahead, behind = map(call, x.order)
    if x.difference == 0:
        return f"{call(x.first)} and {call(x.second)} are equal ({_each_p(x)})"
    return f"{ahead} is {format_points(x.size, 3)} above {behind}{_describe_support(x)}"


def _though_small(shown: Sequence[Comparison], margin: float) -> str:
    """Add that differences, though ``shown``, are shown to be small."""
    if not shown or not all(x.is_within_margin for x in shown):
        return ""
    subjects = {1: "the difference is", 2: "both differences are"}
    return f"; {subjects.get(len(shown), 'all are')} below {format_margin(margin)}"


def _describe_support(x: Comparison) -> str:
    ends = format_ends(x, 3)
    return f"{f', 95 % interval {ends}' if ends else ''} ({_each_p(x)})"


def _each_p(x: Comparison) -> str:
    flips = "" if x.p_sign_flips is None else f", by sign flips {format_p(x.p_sign_flips)}"
    return f"{format_p(x.p_value)}{flips}"


def _tell_needed(x: Comparison) -> str:
    if x.needed is None:
        return ""
    rounded = round(x.needed, 1 - len(str(x.needed)))
    unit = "seeds of each" if x.num_seeds else "images"
    return f"; it would take about {rounded:,} {unit} to show a difference of that size"


# The answer, and the claims


def answer(found: Findings) -> str:
    """Answer in a few sentences: which normalization here, and how sure is that?"""
    told = []
    if found.failures:
        reasons = "; ".join(
            f"{model} did not learn: {tell_failure(why)}" for model, why in found.failures.items()
        )
        told.append(f"{reasons}. Nothing is claimed about the normalization of a model like that.")
    if len(found.evidence.models) >= 2:
        told.append(_recommend(found.evidence, _margin(found), len(found.inputs.test)))
    return " ".join(told)


def _margin(found: Findings) -> float:
    return found.params.report.equivalence_margin / 100


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
    shown = [x for x in evidence.by_accuracy if x.verdict == Verdict.DIFFER]
    level = [m for m in evidence.models if m not in {x.order[1] for x in shown}]
    accuracies = ", ".join(f"{m} {format_share(x, 3)}" for m, x in evidence.accuracy.items())
    number = "three" if len(evidence.models) == len(MODELS) else "two"
    basis, caution = f"Over {len(evidence.seeds)} seeds each", ""
    if not evidence.seeds:
        basis = f"On the same {num_images:,} test images, one run each"
        caution = (
            f" That compares these {number} networks; comparing normalizations takes several seeds."
        )
    leads = " and ".join(map(describe_difference, shown)) + _though_small(shown, margin)
    if len(level) == 1:
        return f"Use {level[0]}. {basis}: {accuracies}; {leads}.{caution}"
    if shown:
        (between,) = [x for x in evidence.by_accuracy if {x.first, x.second} == set(level)]
        both = " and ".join(level)
        rest = (
            f"{both} are {equal_within(margin)}"
            if between.is_within_margin
            else f"between {both} no difference in test accuracy is shown"
        )
        return f"Use {' or '.join(level)}. {basis}: {accuracies}; {leads}; {rest}.{caution}"
    any_of = "any of the three" if number == "three" else " or ".join(level)
    if all(x.verdict == Verdict.EQUAL for x in evidence.by_accuracy):
        return (
            f"Use {any_of}: in test accuracy they are {equal_within(margin)}{_bound(evidence)}. "
            f"{basis}: {accuracies}."
        )
    widest = max(evidence.by_accuracy, key=lambda x: x.size)
    return (
        f"Use {any_of}: no difference in test accuracy is shown{_bound(evidence)}. "
        f"{basis}: {accuracies}; {describe_difference(widest)}{_tell_needed(widest)}.{caution}"
    )


def _bound(evidence: Evidence) -> str:
    """Say how large a difference the intervals leave possible, if all pairs have one."""
    intervals = [x.interval for x in evidence.by_accuracy if x.interval is not None]
    if len(intervals) < len(evidence.by_accuracy):
        return ""
    largest = max(max(-interval.low, interval.high) for interval in intervals)
    bound = format_points(largest, 3)
    return f", and with 95 % confidence no difference is larger than {bound} on these images"


def list_claims(evidence: Evidence, margin: float) -> list[tuple[str, str, str]]:
    """Return what people would like to say, the verdict of the evidence on it, and its reason."""
    if len(evidence.models) < 2:
        return []
    best = max(evidence.accuracy, key=evidence.accuracy.__getitem__)
    smallest = min(evidence.gap, key=evidence.gap.__getitem__)
    largest = max(evidence.gap, key=evidence.gap.__getitem__)
    return [
        _judge_extreme(f"{best} has the best test accuracy", best, evidence.by_accuracy),
        _judge_extreme(f"{smallest} has the smallest train-test gap", smallest, evidence.by_gap),
        _judge_extreme(f"{largest} overfits most (largest gap)", largest, evidence.by_gap),
        *(
            (
                f"test accuracy of {x.first} and {x.second}",
                tell_verdict(x, margin),
                explain(x, margin),
            )
            for x in evidence.by_accuracy
        ),
    ]


def _judge_extreme(
    statement: str, model: str, comparisons: Sequence[Comparison]
) -> tuple[str, str, str]:
    """Judge that ``model`` stands apart from both others."""
    if not comparisons:
        return statement, "not supported", "one run of each model cannot tell; several seeds can"
    of_model = [x for x in comparisons if model in (x.first, x.second)]
    reasons = [
        f"{'apart' if x.verdict == Verdict.DIFFER else 'no difference shown'} from "
        f"{x.second if x.first == model else x.first} ({format_p(x.p_value)})"
        for x in of_model
    ]
    is_supported = all(x.verdict == Verdict.DIFFER for x in of_model)
    return statement, "supported" if is_supported else "not supported", "; ".join(reasons)


def tell_of_seeds(evidence: Evidence, params: Params) -> str:
    """Say what is wrong with the seeds beside the run that the report is about, "" if nothing."""
    path = "reports/studies/seeds.csv"
    if not evidence.seeds:
        return (
            f"{path} does not hold two seeds of every model with these parameters: this is "
            "one run of each. `make seeds` trains five."
        )
    if not evidence.others:
        return ""
    return (
        f"In {path}, seed {params.train.seed} of {' and '.join(evidence.others)} differs from this "
        "run: the table was made with another train.threads or train.device, or on another type of "
        "machine, or by other versions or code. To make it again, remove it and run `make seeds`."
    )


def tell_of_flips(evidence: Evidence) -> str:
    """Say whether the exact test and Student's agree on the pairs' test accuracies."""
    pairs, num_seeds = evidence.by_accuracy, len(evidence.seeds)
    if not num_seeds or not pairs:
        return ""
    if not can_flips_show(len(pairs), num_seeds):
        return (
            f"With {num_seeds} seeds, the exact sign-flip test could not show any "
            "difference: its p-value cannot get small enough."
        )
    disputed = ", ".join(f"{x.first} and {x.second}" for x in pairs if x.is_disputed)
    if not disputed:
        return "The exact sign-flip test agrees with the paired test on every pair."
    return f"The exact sign-flip test disagrees with the paired test on {disputed}."


# Shifted images


def tell_shifted(x: Comparison) -> str:
    """Say how good both readings are, which is better, by how much, and how sure that is."""
    size, ends = format_points(x.size, 1), format_ends(x, 1)
    support = ", ".join(filter(None, (f"95 % interval {ends}" * bool(ends), format_p(x.p_value))))
    if x.verdict == Verdict.DIFFER:
        return f"{_tell_accuracies(x, 1)}: {size} ({support})"
    return f"{_tell_accuracies(x, 1)}: no difference shown ({size}, {support})"


def _tell_accuracies(x: Comparison, digits: int) -> str:
    of = dict(zip((x.first, x.second), x.accuracies, strict=True))
    return ", ".join(f"{call(name)} {format_share(of[name], digits)}" for name in x.order)


def tell_exception(shifts: Shifts) -> str:
    """Say what the answer for images like the training images leaves out; "" if nothing."""
    if not shifts.largest or shifts.largest[0].verdict != Verdict.DIFFER:
        return ""
    x = shifts.largest[0]
    return (
        "That is about test images like the training images. On others the networks differ, "
        f"most of all with {name_shift(x.shift)}: {tell_shifted(x)}."
    )


def define_shifts(params: ShiftParams) -> str:
    """Say what each shift does, in one sentence each."""
    shifts = dict.fromkeys(shift for shift, _ in list_sets(params))
    return " ".join(SHIFTS[shift].what for shift in shifts if shift in SHIFTS)


def tell_of_batches(shifts: Shifts) -> str:
    """Say how accurate bn is with several numbers of clean images, and which are enough."""
    by_size, running = shifts.clean_by_size, format_share(shifts.clean_running, 1)
    if len(by_size) < 2:
        return ""
    first, *others = (f"{format_share(share, 1)} with {size}" for size, share in by_size.items())
    at_a_time = f"{first} {'image' if min(by_size) == 1 else 'images'} at a time"
    until = (
        f"from {shifts.enough} on it stays within 1 point of the {running} with running averages"
        if shifts.enough
        else f"none of them comes within a point of the {running} with running averages"
    )
    return f"On clean images bn-batch gets {', '.join([at_a_time, *others])}; {until}."


# Studies


def answer_question(question: Question, margin: float) -> list[tuple[str, str]]:
    """Say of each pair what differs, in which direction, by how much and how surely.

    Pairs of which the same is to be said share one sentence: its subject, and the sentence.
    """
    by_topic: dict[str, list[Comparison]] = {}
    for x in question.comparisons:
        by_topic.setdefault(name_topic(x), []).append(x)
    alike: dict[str, list[str]] = {}
    for topic, comparisons in by_topic.items():
        alike.setdefault(_tell_topic(comparisons, margin), []).append(topic)
    return [("; ".join(topics), f"{text}.") for text, topics in alike.items()]


def name_topic(x: Comparison) -> str:
    """Name what is compared."""
    if x.of:
        return f"{call(x.of)}, {x.second} and {x.first}"
    return f"{call(x.first)} and {call(x.second)}"


def _tell_topic(comparisons: Sequence[Comparison], margin: float) -> str:
    order = [x.place for x in comparisons]
    shown: dict[tuple[str, str], list[Comparison]] = {}
    others: dict[str, list[str]] = {
        f"they are {equal_within(margin)}": [],
        "it is not settled": [],
        "both diverged": [],
    }
    for x in comparisons:
        if x.both_diverged:
            others["both diverged"].append(x.place)
        elif x.verdict == Verdict.DIFFER:
            shown.setdefault(x.order, []).append(x)
        elif x.verdict == Verdict.EQUAL:
            others[f"they are {equal_within(margin)}"].append(x.place)
        else:
            others["it is not settled"].append(x.place)
    parts = [
        _at([x.place for x in of], order, ", ") + _tell_shown(of, margin) for of in shown.values()
    ]
    parts += [_at(places, order, ", ") + said for said, places in others.items() if places]
    return "; ".join(parts)


def _tell_shown(shown: Sequence[Comparison], margin: float) -> str:
    """Say how far one is above the other; of several places, name the one where it is farthest."""
    small = _though_small(shown, margin)
    x = max(shown, key=lambda x: x.size)
    if len(shown) == 1:
        return f"{describe_difference(x)}{small}"
    ahead, behind = map(call, x.order)
    most = f"{_at([x.place], [x.place], ': ')}by {format_points(x.size, 3)}{_describe_support(x)}"
    return f"{ahead} is above {behind}, and most so {most}{small}"


def _at(places: Sequence[str], order: Sequence[str], end: str) -> str:
    """Name ``places`` before a clause: at numbers, if it is or is not, with anything else.

    Three or more numbers in a row in ``order`` become "at 1 to 4". "" if the only place has no
    name.
    """
    if "" in places:
        return ""
    if not all(map(is_number, places)):
        if set(places) == set(_YES_OR_NO):
            return f"either way{end}"
        return (_YES_OR_NO.get(places[0]) or f"with {listed(places)}") + end
    runs: list[list[str]] = []
    for place in places:
        if runs and order.index(place) == order.index(runs[-1][-1]) + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    short = [[f"{run[0]} to {run[-1]}"] if len(run) > 2 else run for run in runs]
    return f"at {listed([word for run in short for word in run])}{end}"


def tabulate(question: Question) -> list[tuple[str, list[str]]]:
    """Return each place, with mean and deviation of each series there."""
    return [
        (place, [show(one.cells[i], one.column) for one in question.series])
        for i, place in enumerate(question.places)
    ]


def note_question(question: Question) -> str:
    """Say what else a reader should know of a study: what is shown below, seeds, tests, records."""
    study, published = question.study, question.published
    notes = [
        _ABOUT_READINGS if question.is_of_readings else study.note,
        f"The lower panel shows {published.network}, as published ({published.source})."
        if published
        else "",
        _count_seeds(question),
        _tell_of_flips(question.comparisons),
        *tell_of_record(question.results),
    ]
    return " ".join(filter(None, notes))


def name_axis(question: Question) -> str:
    """Return what varies, in words; "" if nothing does."""
    varies = question.study.vary or question.study.variants
    return axis_of(question.results) if varies else ""


def _count_seeds(question: Question) -> str:
    """Say over how many seeds the means are taken."""
    counts = {len(cell.rows) for one in question.series for cell in one.cells}
    least, most = min(counts), max(counts)
    return f"{most} seeds each." if least == most else f"{least} to {most} seeds each."


def _tell_of_flips(comparisons: Sequence[Comparison]) -> str:
    """Say whether the exact test and Student's agree on the comparisons; "" if there are none."""
    compared = [x for x in comparisons if not x.both_diverged]
    if not compared:
        return ""
    num_seeds = max(x.num_seeds for x in compared)
    if not can_flips_show(len(compared), num_seeds):
        return (
            f"With {num_seeds} seeds, the exact sign-flip test could not show a difference "
            f"in any of these {len(compared)} comparisons: its p-value cannot get small enough."
        )
    disputed = sum(x.is_disputed for x in compared)
    verb, number = ("disagrees", f"{disputed} of") if disputed else ("agrees", "all")
    return (
        f"The exact sign-flip test {verb} with the paired test on {number} {len(compared)} "
        "comparisons."
    )


# Advice


def tell_advice(one: Advice, margin: float) -> tuple[str, str, str]:
    """Return the situation, what to take, and how sure that is."""
    kinds = listed(list(map(name_kind, one.kinds)), "or")
    images = f"{'bn is trained already, and ' * one.of_bn_alone}my test images are {kinds}"
    situation = one.situation.when.replace("{}", images) if kinds else one.situation.text
    of_bn = one.of_bn_alone or one.situation.readings
    names = [_READINGS[x] if of_bn else x for x in one.choice.best]
    take = listed(names, "or") or "not settled"
    if one.choice.best == [BATCH] and one.enough is not None:
        take += f", of {one.enough} images or more"
    if one.choice.all_diverged:
        support = "all diverged with every seed"
    elif one.choice.worse:
        support = "; ".join(map(_tell_worse, one.choice.worse))
    else:
        support = equal_within(margin) if one.choice.are_equal else "no difference is shown"
    return situation, take, support


def _tell_worse(x: Comparison) -> str:
    support = ", ".join(filter(None, (format_ends(x, 2), format_p(x.p_value))))
    place = "" if x.shift == CLEAN else f"{name_shift(x.shift)}: "
    return f"{place}{_tell_accuracies(x, 2)}: {format_points(x.size)} ({support})"
