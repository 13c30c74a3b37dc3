"""The tables of the report: a header, and rows of as many cells."""

from collections.abc import Sequence
from statistics import mean, stdev

from stages.analysis.advice import Advice
from stages.analysis.findings import Findings
from stages.analysis.inference import proportion_interval
from stages.analysis.shifts import BATCH
from stages.analysis.studies import Question, ShiftedStudy
from stages.core.params import MODELS
from stages.evaluation.shifts import list_sets
from stages.records.summary import list_seeds, show
from stages.reporting.formats import format_points, format_share, listed
from stages.reporting.sentences import equal_within, tell_briefly
from stages.reporting.words import READINGS, call, name_arm, name_kind, name_shift

Table = tuple[list[str], list[list[str]]]


def tabulate_results(found: Findings) -> Table:
    """Return the metrics of each model's one run."""
    header = ["model", "test accuracy", "95 % interval", "errors", "test loss", "train accuracy"]
    rows, total = [], len(found.inputs.test)
    for model in MODELS:
        x = found.inputs.metrics[model]
        ends = proportion_interval(total - x.errors, total)
        rows.append(
            [
                *(model, format_share(x.test_accuracy), " to ".join(map(format_share, ends))),
                *(str(x.errors), f"{x.test_loss:.4f}", format_share(x.train_accuracy)),
                *(format_points(x.accuracy_gap), str(x.parameters)),
            ]
        )
    return [*header, "gap", "parameters"], rows


def tabulate_seeds(found: Findings) -> Table:
    """Return the mean and the spread of each model over the seeds."""
    evidence = found.evidence
    header = ["model", "mean test accuracy", "standard deviation", "train minus test accuracy"]
    rows = [
        [
            *(model, format_share(mean(values), 3), format_points(stdev(values), 3)),
            *(format_points(mean(evidence.gaps[model]), 3), list_seeds(evidence.seeds)),
        ]
        for model, values in evidence.accuracies.items()
    ]
    return [*header, "seeds"], rows


def tabulate_question(question: Question) -> Table:
    """Return the mean and the deviation of each series at each value of what varies."""
    axis = question.study.varied
    rows = [
        [place, *(show(one.cells[i], one.column) for one in question.series)]
        for i, place in enumerate(question.study.places)
        if any(one.cells[i].rows for one in question.series)
    ]
    header = [axis, *(f"{call(one.name)} (%)" for one in question.series)]
    return (header, rows) if axis else (header[1:], [row[1:] for row in rows])


def tabulate_shifts(one: ShiftedStudy) -> Table:
    """Return the mean accuracy at the last severity of each shift, by model and arm."""
    first, *_ = one.arms.values()
    last = dict(list_sets(first.params))
    rows: dict[str, list[str]] = {}
    for place, shifts in one.arms.items():
        for case, share in shifts.accuracy.items():
            is_usual = case.batch_size in (None, first.params.test_batch)
            if is_usual and last[case.shift] == case.severity:
                is_control = case.model in one.controls
                name = name_arm(case.reading, "" if is_control else place)
                row = rows.setdefault(name, [name])
                if len(row) <= len(last):  # a control is the same in each arm
                    row.append(f"{100 * share:.1f}")
    return ["%", *(name_shift(x) or "clean" for x in last.items())], list(rows.values())


def tabulate_advice(found: Findings, margin: float, advice: Sequence[Advice]) -> Table:
    """Return what to take in each of these situations."""
    rows = [_tell_advice(x, margin, found.params.shifts.test_batch) for x in advice]
    return ["situation", "take", "how sure", "study"], rows


def _tell_advice(one: Advice, margin: float, test_batch: int) -> list[str]:
    """Return the situation, what to take, how sure that is, and the study that says so."""
    kinds, choice = listed([name_kind(x) for x in one.kinds], "or"), one.choice
    images = f"{'bn is trained already, and ' * one.of_bn_alone}my test images are {kinds}"
    situation = one.situation.when.replace("{}", images) if kinds else one.situation.text
    of_bn = one.of_bn_alone or one.situation.readings
    take = listed([READINGS[x] if of_bn else call(x) for x in choice.best], "or") or "not settled"
    if any(x.of for x in choice.worse):
        take += f" rather than {choice.worse[0].order[1]}"
    if one.of_bn_alone and BATCH in choice.best:
        take += f" ({test_batch} images)"
    if not choice.is_usable:
        take = f"none{'; train with such images' * bool(kinds)}"
    if choice.worse:
        x = min(choice.worse, key=lambda x: x.size)
        support = ": ".join(filter(None, (name_shift(x.shift), tell_briefly(x))))
    elif choice.is_usable:
        support = (
            equal_within(one.margin or margin) if choice.are_equal else "no difference is shown"
        )
    else:
        support = f"none reads half ({format_share(max(choice.useless.values()), 1)} at best)"
    return [situation, take, support, one.study]
