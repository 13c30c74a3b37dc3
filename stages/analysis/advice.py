"""Which normalization to take in which situation, as far as the comparisons show it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stages.analysis.comparison import Comparison, Verdict
from stages.analysis.evidence import Evidence
from stages.analysis.shifts import BATCH, Kind, Shifts, kind_of
from stages.analysis.studies import Question, Studies
from stages.records.declaration import Situation

AS_USUAL = Situation(when="everything is as in params.yaml")
_SHIFTED = Situation(when="{}")


@dataclass(frozen=True)
class Choice:
    """What is not shown to be worse than another, and what supports that."""

    best: list[str]  # none if nothing is shown, or if each is worse than another at some place
    worse: list[Comparison]  # for each of the others, the largest difference by which it is worse
    are_equal: bool = False  # within the margin
    all_diverged: bool = False


@dataclass(frozen=True)
class Advice:
    """A row of the table: what to take in a situation, and what shows it."""

    situation: Situation
    choice: Choice
    study: str
    section: str  # of the page, with the details
    kinds: tuple[Kind, ...] = ()  # of shifted test images, of which the same is chosen
    of_bn_alone: bool = False  # how to evaluate it
    enough: int | None = None  # images in the test batch


def advise(evidence: Evidence, shifts: Shifts, studies: Studies) -> list[Advice]:
    """Choose for each situation for which several seeds are recorded.

    One run of each model is no ground for advice: it speaks of those networks alone.
    """
    return [
        *_advise_as_usual(evidence),
        *(
            Advice(situation, _choose_at(situation, question), question.study.name, question.name)
            for question in studies.questions
            for situation in question.situations
            if question.comparisons
        ),
        *_advise_on_shifted(shifts, _SHIFTED, "seeds", "shifts"),
        *(
            advice
            for one in studies.shifted
            for situation in one.study.situations
            for advice in _advise_on_shifted(one.shifts, situation, one.study.name, one.name)
        ),
    ]


def _advise_as_usual(evidence: Evidence) -> Iterator[Advice]:
    if evidence.seeds and evidence.by_accuracy:
        yield Advice(AS_USUAL, choose(evidence.by_accuracy), "seeds", "claims")


def _choose_at(situation: Situation, question: Question) -> Choice:
    return choose([x for x in question.comparisons if x.place in ("", situation.place)])


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
        alike: dict[tuple[str, ...], dict[Kind, Choice]] = {}
        for kind, comparisons in by_kind.items():
            choice = choose(comparisons)
            alike.setdefault(tuple(choice.best), {})[kind] = choice
        for best, choices in alike.items():
            worse = [x for choice in choices.values() for x in choice.worse]
            yield Advice(
                situation,
                Choice(list(best), worse, all(x.are_equal for x in choices.values())),
                study,
                section,
                tuple(choices),
                of_bn_alone,
                shifts.enough,
            )


def choose(comparisons: Sequence[Comparison]) -> Choice:
    """Choose those that are not shown to be worse than another, or all if all are equal.

    Those that diverged with every seed are never chosen.
    """
    tested = [x for x in comparisons if not x.both_diverged]
    diverged = {name for x in comparisons if x.both_diverged for name in (x.first, x.second)}
    names = dict.fromkeys(name for x in tested for name in (x.first, x.second))
    shown = [x for x in tested if x.verdict == Verdict.DIFFER]
    worse: dict[str, Comparison] = {}
    for x in sorted(shown, key=lambda x: x.size, reverse=True):
        worse.setdefault(x.order[1], x)
    are_equal = bool(tested) and all(x.verdict == Verdict.EQUAL for x in tested)
    best = [x for x in names if x not in worse and x not in diverged]
    return Choice(best if shown or are_equal else [], list(worse.values()), are_equal, not tested)
