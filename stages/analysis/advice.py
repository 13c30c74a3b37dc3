"""Which normalization to take in which situation, as far as the comparisons show it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stages.analysis.comparison import Comparison, Verdict
from stages.analysis.evidence import Evidence
from stages.analysis.shifts import BATCH, Kind, Shifts, kind_of
from stages.analysis.studies import Studies
from stages.evaluation.shifts import Shift
from stages.records.declaration import Situation

SHOWN = 10  # rows that are shown at once
USABLE = 0.5  # the fraction of images that has to be read right for a choice to be of any use
_AS_USUAL = Situation(when="everything is as at the top of this page")
_SHIFTED = Situation(when="{}")


@dataclass(frozen=True)
class Choice:
    """What is usable and not shown to be worse than another, and what supports that."""

    best: list[str]  # none if nothing is shown, or if each is worse than another at some severity
    worse: list[Comparison]  # for each of the others, the largest difference by which it is worse
    useless: dict[Shift, float]  # the best accuracy, where nothing is usable
    are_equal: bool = False  # within the margin
    is_usable: bool = True  # whether anything is, anywhere


@dataclass(frozen=True)
class Advice:
    """A row of the table: what to take in a situation, and what shows it."""

    situation: Situation
    choice: Choice
    study: str
    section: str  # of the page, with the details
    kinds: tuple[Kind, ...] = ()  # of shifted test images, of which the same is chosen
    of_bn_alone: bool = False  # how to evaluate it
    margin: float = 0  # the smallest difference that matters, if the study has its own

    @property
    def at_stake(self) -> float:
        """What a wrong choice of the model costs at most: a fraction, 0 if that is not shown."""
        return max((x.size for x in self.choice.worse if not self.of_bn_alone), default=0)


def advise(evidence: Evidence, shifts: Shifts, studies: Studies) -> list[Advice]:
    """Choose for each situation for which several seeds are recorded.

    One run of each model is no ground for advice: it speaks of those networks alone.
    """
    rows = []
    if evidence.seeds and evidence.by_accuracy:
        rows.append(Advice(_AS_USUAL, choose(evidence.by_accuracy), "seeds", "claims"))
    for question in studies.questions:
        for situation in question.situations:
            at = [x for x in question.comparisons if x.place in ("", situation.place)]
            if at:
                name = question.study.name
                advice = Advice(situation, choose(at), name, question.name, margin=question.margin)
                rows.append(advice)
    rows += _advise_on_shifted(shifts, _SHIFTED, "seeds", "shifts")
    for one in studies.shifted:
        for situation in one.study.situations:
            rows += _advise_on_shifted(one.shifts, situation, one.study.name, one.name)
    return rows


def list_first(advice: Sequence[Advice]) -> list[Advice]:
    """Return the usual situation, those told beside the answer, and those with most at stake."""
    usual, *others = sorted(
        advice, key=lambda x: (x.situation != _AS_USUAL, not x.situation.headline, -x.at_stake)
    )
    return [usual, *(x for x in others if x.at_stake or x.situation.headline)][:SHOWN]


def _advise_on_shifted(
    shifts: Shifts, situation: Situation, study: str, section: str
) -> Iterator[Advice]:
    """Advise on shifted test images: among the models, and how to evaluate a given bn.

    What is worse at any severity of a kind is not chosen for it. Kinds with the same choice share
    one row.
    """
    if shifts.num_seeds < 2:
        return
    for of_bn_alone in (False, True):
        by_kind: dict[Kind, list[Comparison]] = {}
        for x in shifts.comparisons:
            if (x.first == BATCH) == of_bn_alone:
                by_kind.setdefault(kind_of(x.shift), []).append(x)
        alike: dict[tuple[object, ...], dict[Kind, list[Comparison]]] = {}
        for kind, comparisons in by_kind.items():
            choice = choose(comparisons)
            alike.setdefault((choice.is_usable, *choice.best), {})[kind] = comparisons
        for of_kind in alike.values():
            choice = choose([x for comparisons in of_kind.values() for x in comparisons])
            yield Advice(situation, choice, study, section, tuple(of_kind), of_bn_alone)


def choose(comparisons: Sequence[Comparison]) -> Choice:
    """Choose those that are not shown to be worse than another, or all if all are equal.

    Images of which none reads half right choose nothing; elsewhere, what reads fewer is not chosen.
    """
    highest: dict[Shift, float] = {}
    for x in comparisons:
        highest[x.shift] = max(highest.get(x.shift, 0), *x.accuracies)
    useless = {shift: share for shift, share in highest.items() if share < USABLE}
    usable = [x for x in comparisons if x.shift not in useless]
    shares = [pair for x in usable for pair in zip((x.first, x.second), x.accuracies, strict=True)]
    poor = {name for name, share in shares if share < USABLE}
    worse: dict[str, Comparison] = {}  # the largest difference of each
    for x in sorted(usable, key=lambda x: x.size, reverse=True):
        if x.differs:
            worse.setdefault(x.order[1], x)
    are_equal = bool(usable) and all(x.verdict == Verdict.EQUAL for x in usable)
    best = [x for x in dict.fromkeys(name for name, _ in shares) if x not in worse.keys() | poor]
    is_settled = bool(worse) or are_equal
    return Choice(
        best if is_settled else [], list(worse.values()), useless, are_equal, bool(usable)
    )
