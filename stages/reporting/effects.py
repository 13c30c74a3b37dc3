"""The effects that a study shows, and what may be said of them in sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.reporting.claims import (
    describe_difference,
    describe_support,
    equal_within,
    explain,
    format_points,
    in_order,
    judge_pair,
    though_small,
)
from stages.reporting.evidence import Comparison, can_flips_show, compare_family

_YES_OR_NO = {"yes": "if it is", "no": "if it is not"}


@dataclass(frozen=True)
class Pair:
    """Two that a study compares at one value of what varies: accuracies (fractions) by seed."""

    topic: str  # what a sentence on it begins with
    place: str  # a value of what varies; "" if nothing does, or if it does not matter
    first: str
    second: str
    of_first: Mapping[int, float]
    of_second: Mapping[int, float]
    both_diverged: bool = False  # with every seed

    @property
    def by_seed(self) -> list[tuple[float, float]]:
        """The accuracies of both, for each seed that both have."""
        seeds = sorted(self.of_first.keys() & self.of_second.keys())
        return [(self.of_first[seed], self.of_second[seed]) for seed in seeds]


@dataclass(frozen=True)
class Effect:
    """A pair and how it compares; no comparison if both diverged."""

    pair: Pair
    comparison: Comparison | None
    verdict: str
    reason: str


@dataclass(frozen=True)
class Sentence:
    """What is said of one topic or more."""

    subject: str
    text: str


def compare(pairs: Sequence[Pair], margin: float) -> list[Effect]:
    """Compare each pair with two seeds or more, with all their tests corrected as one family.

    ``margin`` is the fraction within which two count as equal.
    """
    pairs = [pair for pair in pairs if len(pair.by_seed) >= 2]
    family = [pair for pair in pairs if not pair.both_diverged]
    compared = iter(compare_family([(x.first, x.second, x.by_seed) for x in family], margin))
    return [
        Effect(pair, None, "both diverged", "with every seed")
        if pair.both_diverged
        else _judge(pair, next(compared), margin)
        for pair in pairs
    ]


def _judge(pair: Pair, comparison: Comparison, margin: float) -> Effect:
    verdict = judge_pair(comparison, margin)
    return Effect(pair, comparison, verdict, explain(comparison, margin, "seeds"))


def tell(effects: Sequence[Effect], margin: float) -> list[Sentence]:
    """Say what differs, in which direction, by how much and how surely; what is equal or unsettled.

    One sentence per topic; topics with the same findings share one.
    """
    topics = dict.fromkeys(effect.pair.topic for effect in effects)
    alike: dict[str, list[str]] = {}
    for topic in topics:
        of_topic = [effect for effect in effects if effect.pair.topic == topic]
        alike.setdefault(_tell_topic(of_topic, margin), []).append(topic)
    return [Sentence("; ".join(alike[text]), f"{text}.") for text in alike]


def _tell_topic(effects: Sequence[Effect], margin: float) -> str:
    order = [effect.pair.place for effect in effects]
    shown: dict[tuple[str, str], list[Effect]] = {}
    others: dict[str, list[str]] = {
        f"they are {equal_within(margin)}": [],
        "it is not settled": [],
        "both diverged": [],
    }
    for effect in effects:
        if effect.comparison is None:
            others["both diverged"].append(effect.pair.place)
        elif effect.comparison.is_shown:
            shown.setdefault(in_order(effect.comparison), []).append(effect)
        elif effect.comparison.is_equal:
            others[f"they are {equal_within(margin)}"].append(effect.pair.place)
        else:
            others["it is not settled"].append(effect.pair.place)
    parts = [
        _at([effect.pair.place for effect in of_order], order, ", ")
        + _tell_shown(*names, of_order, margin)
        for names, of_order in shown.items()
    ]
    parts += [_at(places, order, ", ") + said for said, places in others.items() if places]
    return "; ".join(parts)


def _tell_shown(ahead: str, behind: str, effects: Sequence[Effect], margin: float) -> str:
    """Say how far one is above the other; of several places, name the one where it is farthest."""
    by_place = {x.pair.place: x.comparison for x in effects if x.comparison is not None}
    small = though_small(list(by_place.values()), margin)
    place, largest = max(by_place.items(), key=lambda item: abs(item[1].difference))
    if len(by_place) == 1:
        return f"{describe_difference(largest)}{small}"
    size = format_points(abs(largest.difference), 3)
    most = f"{_at([place], [place], ': ')}by {size}{describe_support(largest)}"
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
        return (_YES_OR_NO.get(places[0]) or f"with {_join(places)}") + end
    runs: list[list[str]] = []
    for place in places:
        if runs and order.index(place) == order.index(runs[-1][-1]) + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    short = [[f"{run[0]} to {run[-1]}"] if len(run) > 2 else run for run in runs]
    return f"at {_join([word for run in short for word in run])}{end}"


def is_number(text: str) -> bool:
    """Say whether ``text``, a value of what varies, is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _join(words: Sequence[str]) -> str:
    """List ``words`` with commas, and "and" before the last."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def tell_of_sign_flips(effects: Sequence[Effect]) -> str:
    """Say whether the exact test and Student's agree on the effects; "" if there are none."""
    compared = [effect for effect in effects if effect.comparison is not None]
    if not compared:
        return ""
    num_seeds = max(len(effect.pair.by_seed) for effect in compared)
    if not can_flips_show(len(compared), num_seeds):
        return (
            f"With {num_seeds} seeds, the exact sign-flip test could not show a difference "
            f"in any of these {len(compared)} comparisons: its p-value cannot get small enough."
        )
    disputed = sum(effect.comparison.is_disputed for effect in compared if effect.comparison)
    verb, number = ("disagrees", f"{disputed} of") if disputed else ("agrees", "all")
    return (
        f"The exact sign-flip test {verb} with the paired test on {number} {len(compared)} "
        "comparisons."
    )
