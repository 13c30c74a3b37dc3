"""What the report says of the questions that studies ask."""

from collections.abc import Sequence
from statistics import mean

from stages.analysis.comparison import Comparison, Verdict
from stages.analysis.gradients import THEORY, Growth
from stages.analysis.studies import Question, Series
from stages.records.summary import tell_of_record
from stages.reporting.formats import format_margin, format_points, format_share, listed
from stages.reporting.sentences import equal_within, tell, tell_of_flips, tell_verdict
from stages.reporting.words import call, name_pair, name_places

_FAR = 0.1  # a fraction: differences that may be as large say that nothing is known


def answer_question(question: Question) -> list[tuple[str, str]]:
    """Say what is less accurate than what, where, and by how much most of all.

    A question of values of what varies is answered pair by pair.
    """
    if question.study.compare == "values" and not question.is_of_readings:
        return list_pairs(question)
    worse: dict[str, list[Comparison]] = {}
    for x in question.comparisons:
        if x.differs:
            worse.setdefault(x.order[1], []).append(x)
    if not worse:
        return [(listed([call(x.name) for x in _list_recorded(question)]), _tell_of_none(question))]
    told = [(call(name), _tell_worse(found, question)) for name, found in worse.items()]
    unsettled = [x for x in question.comparisons if x.verdict == Verdict.OPEN]
    largest = max(unsettled, key=lambda x: x.size, default=None)
    if largest and largest.size > question.margin:
        where = name_places([largest.place], question.study.places)
        seen = ", ".join(filter(None, (where, tell(largest))))
        told.append((f"not settled with {largest.num_seeds} seeds", f"{seen}."))
    return told


def _list_recorded(question: Question) -> list[Series]:
    """Return the series of which any training is on record, by the present parameters."""
    return [one for one in question.series if any(cell.rows for cell in one.cells)]


def _tell_of_none(question: Question) -> str:
    """Say it where nothing is shown to differ."""
    told = ""
    if question.study.places == [""]:
        means = [format_share(mean(x.accuracy(0).values())) for x in _list_recorded(question)]
        told = f"{', '.join(means)}; "
    verdicts = {x.verdict for x in question.comparisons}
    if verdicts == {Verdict.EQUAL}:
        return f"{told}{equal_within(question.margin)}."
    reach = _tell_reach(question.comparisons)
    return f"{told}no difference is shown{f'; they are {reach}' if reach else ''}."


def _tell_worse(found: Sequence[Comparison], question: Question) -> str:
    """Say than what, and where, the second of each comparison in ``order`` is less accurate."""
    places: dict[tuple[str, ...], list[str]] = {}
    for place in dict.fromkeys(x.place for x in found):
        better = tuple(call(x.order[0]) for x in found if x.place == place)
        places.setdefault(better, []).append(place)
    parts = [
        f"than {listed(better)} {name_places(some, question.study.places)}".strip()
        for better, some in places.items()
    ]
    largest = max(found, key=lambda x: x.size)
    at = name_places([largest.place], question.study.places)
    most = f", most of all {at}" if at and len({x.place for x in found}) > 1 else ""
    fewer = ""
    if largest.num_seeds < max(x.num_seeds for x in question.comparisons):
        fewer = f", over {largest.num_seeds} seeds"
    return f"less accurate {'; '.join(parts)}{most}: {tell(largest)}{fewer}."


def _tell_reach(comparisons: Sequence[Comparison]) -> str:
    """Name the far end of what is not settled, where that says anything."""
    ends = [abs(end) for x in comparisons if x.interval for end in x.interval]
    if not ends or len(ends) < 2 * len(comparisons) or max(ends) > _FAR:
        return ""
    return f"less than {format_points(max(ends), 1)} apart"


def list_pairs(question: Question) -> list[tuple[str, str]]:
    """Say of each pair what differs, in which direction, by how much and how surely.

    Pairs of which the same is to be said share one sentence: its subject, and the sentence.
    """
    by_pair: dict[str, list[Comparison]] = {}
    for x in question.comparisons:
        by_pair.setdefault(name_pair(x), []).append(x)
    alike: dict[str, list[str]] = {}
    for name, comparisons in by_pair.items():
        alike.setdefault(_tell_pair(comparisons, question.margin), []).append(name)
    return [("; ".join(names), f"{text}.") for text, names in alike.items()]


def _tell_pair(comparisons: Sequence[Comparison], margin: float) -> str:
    """Say it of one pair: what is shown first, and that in one clause for each direction."""
    order = [x.place for x in comparisons]
    alike: dict[tuple[str, ...], list[Comparison]] = {}
    for x in sorted(comparisons, key=lambda x: not x.differs):
        alike.setdefault(x.order if x.differs else (tell_verdict(x, margin),), []).append(x)
    parts = []
    for said, found in alike.items():
        largest = max(found, key=lambda x: x.size)
        clause = tell(largest) if largest.differs else said[0]
        if largest.verdict == Verdict.OPEN:
            clause = ", but ".join(filter(None, (clause, _tell_reach(found))))
        if largest.differs and len(found) > 1:
            ahead, behind = map(call, said)
            most = f"most of all {name_places([largest.place], order)}"
            clause = f"{ahead} is more accurate than {behind}, {most}: {clause}"
        where = name_places([x.place for x in found], order)
        parts.append(", ".join(filter(None, (where, clause))))
    return "; ".join(parts)


def count_seeds(question: Question) -> str:
    """Say how many seeds there are of each training on record."""
    cells = [(one, i) for one in question.series for i in range(len(one.cells))]
    counts = {len(one.accuracy(i)) for one, i in cells} - {0}
    planned = question.study.seeds
    more = f" of the {planned} planned" * (max(counts) < planned)
    return f"{' to '.join(map(str, sorted({min(counts), max(counts)})))} seeds{more}"


def note_question(question: Question) -> str:
    """Say how many seeds were needed, and what else a reader should know."""
    plan = ""
    if question.planned:
        ends = sorted({min(question.planned), max(question.planned)})
        seeds = " to ".join(f"{end}" if end <= 1_000 else "more than 1,000" for end in ends)
        plan = (
            f"To show {format_margin(question.margin)}, the smallest difference that matters, "
            f"takes {seeds} seeds, by the spread of the first five and with a power of 80 %."
        )
    flips, records = tell_of_flips(question.comparisons), tell_of_record(question.results)
    return " ".join(filter(None, (plan, flips, *records)))


def tell_of_growth(found: Sequence[Growth]) -> str:
    """Say by which factor gradients grow, and whether that is the one that theory gives for bn."""
    told, seen = [], ""
    for placement in ("after", "before"):
        factors = [f"{call(x.model)} {x.factor:.2f}" for x in found if x.placement == placement]
        told.append(f"{', '.join(factors)} with normalization {placement} the ReLU")
    for x in found:
        if (x.model, x.placement) == ("bn", "before") and x.interval:
            low, high = x.interval
            no = "" if low <= THEORY <= high else "not "
            seen = (
                f" Theory's {THEORY} for bn before the ReLU (Yang et al. 2019) is {no}seen: the "
                f"interval is {low:.3f} to {high:.3f}."
            )
    return f"they grow from layer to layer by a factor of {'; '.join(told)}.{seen}"


def list_growth(found: Sequence[Growth]) -> str:
    """Return the factors with their intervals."""
    return ", ".join(
        f"{call(x.model)} {x.placement} the ReLU {x.factor:.3f} ({low:.3f} to {high:.3f})"
        for x in found
        if x.interval
        for low, high in [x.interval]
    )
