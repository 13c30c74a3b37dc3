"""Why the models differ, in words: what the interventions in their networks did."""

from collections import Counter
from collections.abc import Sequence
from statistics import mean

from stages.analysis.causes import Causes, Effect, Share
from stages.analysis.comparison import Shift, Verdict
from stages.core.params import MODELS
from stages.records.causes import BLENDED_SHIFTS, BRIGHTNESS, CLEAN, CONTRAST, NOISE, Case, case_of
from stages.reporting.formats import capitalized, counted, format_share, listed
from stages.reporting.words import name_shift

_NEARLY_ALL, _LITTLE = 0.8, 0.3  # of a loss restored, a fraction
_SHIFTS = CONTRAST, BRIGHTNESS, NOISE


def introduce(causes: Causes) -> str:
    """Say what was done."""
    return (
        f"The trained networks of {len(causes.seeds)} seeds read the test images again, with one "
        "thing changed: whose mean and variance a layer takes. In bn, some layers measure the test "
        "images (100 at a time) instead of using the averages of training: what does that cure? In "
        "gn and ln, some layers use averages of clean training images instead of measuring each "
        "image: does that break them in the same way? Nothing is trained."
    )


def explain(causes: Causes) -> list[tuple[str, str]]:
    """Return what each group of interventions is about, and what it shows."""
    told = [(capitalized(name_shift(shift)), _tell_shift(causes, shift)) for shift in _SHIFTS]
    return [
        *told,
        ("Mean or variance", _tell_moments(causes)),
        ("Why layer normalization does not recover", _tell_recovery(causes)),
        ("Why noise is different", _tell_noise(causes)),
        ("How many images it takes", _tell_blends(causes)),
    ]


def _tell_shift(causes: Causes, shift: Shift) -> str:
    first, *others = causes.layers
    cured = [
        f"{where}: {_tell_effect(causes, case_of('bn', shift, layers))}"
        for where, layers in (
            (f"fresh statistics in layer {first} alone", [first]),
            (f"in layers {_span(others)} alone", others),
            ("in all", causes.layers),
        )
    ]
    broken = [
        f"{model} reads {_share(causes, causes.as_trained(model, shift))}, "
        f"{_share(causes, case_of(model, shift, others))} with layer {first} frozen, "
        f"{_share(causes, case_of(model, shift, [first]))} with layers {_span(others)} frozen"
        for model in ("gn", "ln")
    ]
    as_trained = causes.as_trained("bn", shift)
    return (
        f"bn reads {_share(causes, as_trained)}{_tell_answer(causes, as_trained)}. "
        f"{capitalized('; '.join(cured))}. {'; '.join(broken)}."
    )


def _tell_answer(causes: Causes, case: Case) -> str:
    """Say which answer is given most often, where one is given to most images."""
    rows = causes.rows[case]
    (digit, networks), *_ = Counter(row.answer for row in rows).most_common()
    answered = mean(row.answered for row in rows)
    if answered < 0.5:
        return ""
    return (
        f", and gives one answer to {format_share(answered, 0)} of the images "
        f"(“{digit}” in {networks} of {counted(len(rows), 'network')})"
    )


def _tell_effect(causes: Causes, case: Case) -> str:
    effect = causes.find(case)
    return f"{_share(causes, case)}{_tell_restored(effect)}"


def _tell_restored(effect: Effect) -> str:
    if effect.restored is None:
        return ""
    if effect.comparison.verdict != Verdict.DIFFER:
        return " (no effect shown)"
    return f", {_tell_share(effect.restored)} of the loss restored"


def _tell_share(share: Share) -> str:
    low, high = (f"{100 * end:.0f}" for end in (share.interval.low, share.interval.high))
    return f"{100 * share.value:.0f} % ({low} to {high})"


def _tell_moments(causes: Causes) -> str:
    told = [
        f"with {name_shift(shift)} fresh means alone give "
        f"{_share(causes, case_of('bn', shift, causes.layers, []))}, fresh variances alone "
        f"{_share(causes, case_of('bn', shift, [], causes.layers))}"
        for shift in _SHIFTS
    ]
    return f"In all layers of bn, {'; '.join(told)}."


def _tell_recovery(causes: Causes) -> str:
    """Tell what a later layer of gn or ln lacks: it is given what a later layer of bn can do."""
    others = causes.layers[1:]
    told = []
    for model in ("gn", "ln"):
        channels, everything = (
            causes.find(case_of(model, CONTRAST, others, change=change, changed=others))
            for change in ("align channels", "align all")
        )
        told.append(
            f"{model} with layer 1 frozen reads "
            f"{_share(causes, case_of(model, CONTRAST, others))}. If each channel gets back the "
            "mean and variance that it has on clean images before each later layer: "
            f"{_share(causes, channels.case)}{_tell_restored(channels)}; if all channels together "
            f"are only shifted and scaled alike: {_share(causes, everything.case)}"
            f"{_tell_restored(everything)}"
        )
    return f"{'. '.join(told)}."


def _tell_noise(causes: Causes) -> str:
    frozen = ", ".join(f"{model} {_share(causes, case_of(model, NOISE, []))}" for model in MODELS)
    offsets = [
        f"{what} {_share(causes, case_of('bn', NOISE, [], change=change, changed=causes.layers))}"
        for what, change in (("none", "no offsets"), ("half", "half offsets"))
    ]
    sizes = ", ".join(
        f"{model} {mean(causes.offsets[model, causes.layers[0]]):.2f}" for model in MODELS
    )
    return (
        f"With all layers frozen the networks read {frozen}. Noise moves the mean of each channel, "
        f"before layer 1 by (in deviations on clean images) {sizes}. If only part of that offset "
        f"is left in bn, before all layers: {', '.join(offsets)}."
    )


def _tell_blends(causes: Causes) -> str:
    told = []
    for shift in BLENDED_SHIFTS:
        enough = causes.enough(shift)
        where = "on clean images" if shift == CLEAN else f"with {name_shift(shift)}"
        told.append(
            f"{where} {enough} at a time give {_share(causes, causes.blended(shift, enough))} "
            f"({_share(causes, causes.blended(shift, enough, is_alone=True))} without the averages)"
        )
    return (
        "Where few test images are at hand, bn can blend their statistics with its averages, which "
        f"then count as {causes.prior:g} images (chosen on training images). Within a point of "
        f"the best: {'; '.join(told)}."
    )


def tabulate(causes: Causes) -> tuple[list[str], list[list[str]]]:
    """Return the accuracy by what is fresh: layer 1, the others, both, or neither."""
    first, others = f"layer {causes.layers[0]}", f"layers {_span(causes.layers[1:])}"
    header = ["images", "model", "all fresh", f"{first} fresh", f"{others} fresh", "none fresh"]
    rows = [
        [
            name_shift(shift) or "clean",
            model,
            *(
                _share(causes, causes.two_by_two(model, shift)[cell])
                for cell in ((True, True), (True, False), (False, True), (False, False))
            ),
        ]
        for shift in (CLEAN, *_SHIFTS)
        for model in MODELS
    ]
    return header, rows


def note(causes: Causes) -> str:
    """Say how it was measured, and what else was seen."""
    near = {
        model: max((x for x in causes.ranks if x.model == model), key=lambda x: x.mean)
        for model in MODELS
        if any(x.model == model for x in causes.ranks)
    }
    ranks = listed([f"{m} layer {x.layer} ({x.mean:.2f})" for m, x in near.items()])
    return (
        "Fresh: in bn the statistics of 100 test images at a time, in gn and ln those of each "
        "image. Else the running averages of bn, or for gn and ln averages of the first 2,000 "
        "clean training images. A share of the loss is a ratio of means over the networks, with "
        "its 95 % bootstrap interval over the seeds; where fewer than five points are lost there "
        "is none. An intervention is compared with the same networks without it (Student's paired "
        "test, Holm over all in bn, and over all in gn and ln). It speaks of the networks it was "
        "made in: what breaks gn and ln is a parallel to bn, not its cause. "
        "The distance of the statistics from those of clean images ranks with the accuracy lost "
        f"over all shifts (Spearman, mean over networks) most in {ranks}. Repeat it with make "
        "causes."
    )


def _share(causes: Causes, case: Case) -> str:
    return format_share(mean(causes.accuracies(case)), 0)


def _span(layers: Sequence[int]) -> str:
    return f"{layers[0]} to {layers[-1]}"
