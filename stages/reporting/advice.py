"""Which normalization to take in which situation, as far as the effects show it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from stages.records.declaration import Situation
from stages.reporting.claims import (
    equal_within,
    format_ends,
    format_p,
    format_points,
    format_share,
    in_order,
)
from stages.reporting.evidence import Comparison, Evidence
from stages.reporting.shifts import BATCH, ShiftFindings
from stages.reporting.studies import Question, Studies

_READINGS = {  # of bn, as the table names them
    **dict.fromkeys(("running", "bn"), "bn with its running averages"),
    **dict.fromkeys(("batch", BATCH), "bn with the statistics of the test batch"),
    "recomputed": "bn with recomputed statistics",
}


@dataclass(frozen=True)
class Advice:
    """A row of the table: what to take in a situation, how sure that is, and what shows it."""

    situation: str
    take: str
    support: str
    study: str
    id: str  # of the page's section with the details


@dataclass(frozen=True)
class Contest:
    """How two compare in a situation, or in one part of it."""

    comparison: Comparison
    accuracy: Mapping[str, float]  # of both, fractions
    place: str = ""  # in words, where a situation has several

    @property
    def size(self) -> float:
        """The difference, whichever is better: a fraction."""
        return abs(self.comparison.difference)

    @property
    def text(self) -> str:
        """How good both are, the better one first, how far apart, and how sure that is."""
        ahead, behind = in_order(self.comparison)
        shares = f"{ahead} {self._share(ahead)}, {behind} {self._share(behind)}"
        ends = format_ends(self.comparison, 2)
        support = ", ".join(filter(None, (ends, format_p(self.comparison.p_value))))
        place = f"{self.place}: " if self.place else ""
        return f"{place}{shares}: {format_points(self.size)} ({support})"

    def _share(self, name: str) -> str:
        return format_share(self.accuracy[name])


def advise(
    evidence: Evidence, shifts: ShiftFindings, studies: Studies, margin: float
) -> list[Advice]:
    """Say what to take in each situation for which several seeds are recorded.

    One run of each model is no ground for advice: it speaks of those networks alone. ``margin`` is
    the fraction within which two count as equal.
    """
    return [
        *_advise_as_usual(evidence),
        *(
            _advise_by_study(question, situation, margin)
            for question in studies.questions
            for situation in question.situations
            if question.effects
        ),
        *_advise_on_shifted(shifts, margin),
        *(
            advice
            for one in studies.shifted
            for situation in one.study.situations
            for advice in _advise_on_shifted(
                one.shifts, margin, situation.when, one.study.name, one.name
            )
        ),
    ]


def _advise_as_usual(evidence: Evidence) -> Iterator[Advice]:
    if evidence.num_seeds and evidence.by_accuracy:
        contests = [Contest(x, evidence.test_accuracy) for x in evidence.by_accuracy]
        best, support = choose(contests, evidence.margin)
        situation = "everything is as in params.yaml"
        yield Advice(situation, _any_of(best), support, "seeds", "claims")


def _advise_by_study(question: Question, situation: Situation, margin: float) -> Advice:
    contests, diverged = [], set()
    for effect in question.effects:
        pair = effect.pair
        if pair.place not in ("", situation.place):
            continue
        if effect.comparison is None:
            diverged |= {pair.first, pair.second}
        else:
            accuracy = {
                pair.first: mean(pair.of_first.values()),
                pair.second: mean(pair.of_second.values()),
            }
            contests.append(Contest(effect.comparison, accuracy))
    best, support = choose(contests, margin, diverged)
    take = _any_of([_READINGS[x] for x in best] if situation.readings else best)
    study = question.study.name
    return Advice(situation.text, take, support, study, question.name)


def _advise_on_shifted(
    shifts: ShiftFindings,
    margin: float,
    when: str = "{}",
    study: str = "seeds",
    section: str = "shifts",
) -> Iterator[Advice]:
    """Advise on shifted test images: among bn, gn and ln, and how to evaluate a given bn.

    In ``when``, {} stands for what the images are.
    """
    if shifts.num_seeds < 2:
        return
    for best, kinds, support in _choose_by_kind(shifts, margin, of_bn_alone=False):
        situation = when.replace("{}", f"my test images are {kinds}")
        yield Advice(situation, _any_of(best), support, study, section)
    for best, kinds, support in _choose_by_kind(shifts, margin, of_bn_alone=True):
        situation = when.replace("{}", f"bn is trained already, and my test images are {kinds}")
        take = _any_of([_READINGS[x] for x in best])
        if best == [BATCH] and shifts.enough is not None:
            take += f", of {shifts.enough} images or more"
        yield Advice(situation, take, support, study, section)


def _choose_by_kind(
    shifts: ShiftFindings, margin: float, of_bn_alone: bool
) -> Iterator[tuple[list[str], str, str]]:
    """Choose for each kind of shift; yield what is chosen, for which kinds, and what supports it.

    What is worse at any severity of a kind is not chosen for it. Kinds with the same choice share
    one row.
    """
    by_kind: dict[str, list[Contest]] = {}
    for effect in shifts.compared:
        if (effect.comparison.first == BATCH) == of_bn_alone:
            contest = Contest(effect.comparison, effect.accuracy, effect.place)
            by_kind.setdefault(effect.images, []).append(contest)
    alike: dict[tuple[str, ...], dict[str, str]] = {}
    for kind, contests in by_kind.items():
        best, support = choose(contests, margin)
        alike.setdefault(tuple(best), {})[kind] = support
    for chosen, supports in alike.items():
        yield list(chosen), _any_of(list(supports)), "; ".join(dict.fromkeys(supports.values()))


def choose(
    contests: Sequence[Contest], margin: float, diverged: Collection[str] = ()
) -> tuple[list[str], str]:
    """Return those that are not shown to be worse than another, and what supports that.

    The support is, for each of the others, the largest difference by which it is worse. None are
    chosen if no difference is shown, unless all are equal within ``margin``; nor if each is worse
    than another at some place. Those that ``diverged`` are never chosen.
    """
    if not contests:
        return [], "all diverged with every seed"
    names = dict.fromkeys(x for of in contests for x in (of.comparison.first, of.comparison.second))
    shown = [x for x in contests if x.comparison.is_shown]
    if shown:
        worst: dict[str, Contest] = {}  # of each that is worse than another
        for contest in sorted(shown, key=lambda x: x.size, reverse=True):
            worst.setdefault(in_order(contest.comparison)[1], contest)
        best = [x for x in names if x not in worst and x not in diverged]
        return best, "; ".join(contest.text for contest in worst.values())
    if all(x.comparison.is_equal for x in contests):
        return [x for x in names if x not in diverged], equal_within(margin)
    return [], "no difference is shown"


def _any_of(words: Sequence[str]) -> str:
    """List ``words`` with commas, and "or" before the last."""
    if not words:
        return "not settled"
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
