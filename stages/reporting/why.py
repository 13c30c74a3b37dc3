"""Why the models differ, in words: what the interventions in their networks did."""

from collections import Counter
from statistics import mean

from stages.analysis.causes import Causes, Effect
from stages.core.params import MODELS
from stages.evaluation.interventions import MANY
from stages.evaluation.shifts import CLEAN, Shift
from stages.records.causes import BLENDED_SHIFTS, BRIGHTNESS, CONTRAST, NOISE, Case, case_of
from stages.records.summary import list_seeds
from stages.reporting.formats import counted, format_share, listed
from stages.reporting.words import name_shift

_MOST = 0.8  # of a loss restored, a fraction
_SHIFTS = CONTRAST, BRIGHTNESS, NOISE
_OTHERS = ("gn", "ln")


def answer(causes: Causes) -> str:
    """Say in plain words why bn fails on faded images, as far as the record supports it."""
    first, *others = causes.layers
    cure = case_of("bn", CONTRAST, [first])
    broken = case_of("ln", CONTRAST, others)
    told = (
        "In use, bn subtracts and divides by averages over its training images, and a faded image "
        "does not fit them. gn and ln measure each image, and still read it."
    )
    if _restores_most(causes.effects[cure]):
        told += (
            f" If layer {first} of bn alone takes mean and variance of the test images instead, bn "
            f"reads {_share(causes, cure)} of the faded ones, not "
            f"{_share(causes, case_of('bn', CONTRAST, []))}."
        )
    if causes.effects[broken].comparison.differs:
        told += (
            f" If layer {first} of ln alone takes averages of training images, ln reads "
            f"{_share(causes, broken)}, not "
            f"{_share(causes, case_of('ln', CONTRAST, causes.layers))}."
        )
    return told


def introduce(causes: Causes) -> str:
    """Say what was done."""
    return (
        f"The networks of seeds {list_seeds(causes.seeds)} read the test images again; nothing is "
        "trained. In the left panels, some layers of bn measure: they take mean and variance of "
        "100 test images at a time. In the right ones, some layers of gn and ln are frozen: they "
        "take averages of clean training images. (These are fewer seeds than elsewhere on this "
        "page, so means differ a little.)"
    )


def explain(causes: Causes) -> list[tuple[str, str]]:
    """Return what each group of interventions is about, and what it shows."""
    return [
        *((f"bn, {name_shift(shift)}", _tell_cure(causes, shift)) for shift in _SHIFTS),
        ("A parallel in gn and ln, with frozen layers", _tell_freezing(causes)),
        ("Why later layers repair it in bn, but not in gn and ln", _tell_recovery(causes)),
        ("What noise does to bn", _tell_noise(causes)),
    ]


def add(causes: Causes) -> list[tuple[str, str]]:
    """Return likewise what fewer people ask."""
    return [
        ("Mean or variance?", _tell_moments(causes)),
        ("How many test images it takes", _tell_blends(causes)),
    ]


def _tell_cure(causes: Causes, shift: Shift) -> str:
    first, *others = causes.layers
    as_trained, alone, rest = (case_of("bn", shift, layers) for layers in ([], [first], others))
    best = max(causes.layers, key=lambda x: mean(causes.accuracies(case_of("bn", shift, [x]))))
    found = [
        f"it reads {_share(causes, as_trained)}{_tell_answer(causes, as_trained)}",
        f"If layer {first} alone measures, {_tell_effect(causes, alone)}",
        f"If all other layers measure, {_tell_effect(causes, rest)}",
    ]
    if best != first:
        share = _share(causes, case_of("bn", shift, [best]))
        found.append(f"Of single layers, layer {best} gives most, in the mean ({share})")
    if all(_restores_most(causes.effects[case]) for case in (alone, rest)):
        found.append("Either restores most of it")
    return f"{'. '.join(found)}."


def _tell_answer(causes: Causes, case: Case) -> str:
    """Say which answer is given most often, where one is given to most images."""
    rows = causes.rows[case]
    (digit, _), *_ = Counter(row.answer for row in rows).most_common()
    share = mean(row.answered * (row.answer == digit) for row in rows)
    return f"; {format_share(share, 0)} of its answers are “{digit}”" if share > 0.5 else ""


def _tell_effect(causes: Causes, case: Case) -> str:
    effect = causes.effects[case]
    told = _share(causes, case)
    if not effect.comparison.differs:
        return f"{told} (no effect is shown)"
    if effect.restored is None:
        return told
    low, high = (f"{100 * end:.0f}" for end in effect.restored.interval)
    return f"{told} (regains {100 * effect.restored.value:.0f} % of the loss, {low} to {high})"


def _tell_freezing(causes: Causes) -> str:
    first, *others = causes.layers
    told = [
        f"{model} reads {_share(causes, case_of(model, CONTRAST, causes.layers))}, "
        f"{_share(causes, case_of(model, CONTRAST, others))} with layer {first} frozen, and "
        f"{_share(causes, case_of(model, CONTRAST, [first]))} with all others frozen"
        for model in _OTHERS
    ]
    return f"with {name_shift(CONTRAST)}, {'; '.join(told)}."


def _tell_recovery(causes: Causes) -> str:
    """Tell what a later layer of gn or ln lacks: it is given what a later layer of bn can do."""
    others = causes.layers[1:]
    cases = {
        (model, change): case_of(model, CONTRAST, others, change=change, changed=others)
        for model in _OTHERS
        for change in ("align channels", "align all")
    }
    is_by_channel = all(
        _restores_most(causes.effects[case]) == (change == "align channels")
        for (_, change), case in cases.items()
    )
    by_channel, by_all = (
        listed(
            [
                f"{m} from {_share(causes, case_of(m, CONTRAST, others))} to "
                f"{_tell_effect(causes, cases[m, change])}"
                for m in _OTHERS
            ]
        )
        for change in ("align channels", "align all")
    )
    so = (
        "after a frozen first layer, each channel is off by an amount of its own. bn, which "
        "normalizes each channel over a batch, corrects it; gn and ln, which normalize several of "
        "an image together, do not. The test: "
    ) * is_by_channel
    alike = case_of("bn", CONTRAST, [], change="align all", changed=others)
    return (
        f"{so}freeze layer {causes.layers[0]}, and correct what comes before each later layer, "
        f"{MANY} images at a time. Given its mean and variance on clean images back, channel by "
        f"channel, {by_channel}. Given one shift and one factor for all channels, {by_all}. With "
        f"these, all layers frozen, bn reads {_tell_effect(causes, alike)}."
    )


def _tell_noise(causes: Causes) -> str:
    first = causes.layers[0]
    frozen = listed([f"{m} {_share(causes, case_of(m, NOISE, []))}" for m in MODELS])
    sizes = listed([f"{mean(causes.offsets[m, first]):.2f} in {m}" for m in MODELS])
    mended = case_of("bn", NOISE, [], change="no offsets", changed=causes.layers)
    return (
        f"noise moves the mean of each channel. Before layer {first}, it moves by {sizes}, in "
        f"units of its deviation on clean images. Undo that before each layer of bn: "
        f"{_tell_effect(causes, mended)}. With all layers frozen, they read {frozen}. "
        "What else noise does, we do not know."
    )


def _tell_moments(causes: Causes) -> str:
    told = [
        f"with {name_shift(shift)}, measured means alone give "
        f"{_share(causes, case_of('bn', shift, causes.layers, []))}, measured variances alone "
        f"{_share(causes, case_of('bn', shift, [], causes.layers))}"
        for shift in _SHIFTS
    ]
    return f"in all layers of bn, {'; '.join(told)}."


def _tell_blends(causes: Causes) -> str:
    told = []
    for shift in BLENDED_SHIFTS:
        enough = causes.enough(shift)
        where = name_shift(shift) or "clean images"
        told.append(f"{where} {enough} ({_share(causes, causes.blended(shift, enough))})")
    alone = _share(causes, case_of("bn", CONTRAST, causes.layers[:1], images=1))
    return (
        f"layer {causes.layers[0]} alone can measure each image by itself: with "
        f"{name_shift(CONTRAST)}, bn then reads {alone}. In all layers, "
        "bn can blend the statistics of a few test images with its averages, which then weigh as "
        f"much as {counted(causes.prior, 'more image')} (a number chosen on training images). The "
        f"accuracy is within a point of its best from so many images on: {', '.join(told)}."
    )


def describe(case: Case) -> str:
    """Name an intervention by what the columns of its record hold."""
    images = f", of {case.images} images" * bool(case.images) + f", prior {case.prior:g}"
    change = f", {case.change} before {case.changed}" * bool(case.change)
    fresh = f"means of layers {case.means or 'none'}, variances of {case.variances or 'none'}"
    return f"{case.model} measures {fresh}{images}{change}; else {case.fixed}"


def tabulate(causes: Causes) -> tuple[list[str], list[list[str]]]:
    """Return the accuracy by who measures the images: layer 1, the others, all, or none."""
    first, *others = causes.layers
    measuring = {"all": causes.layers, f"layer {first}": [first]}
    measuring |= {f"layers {others[0]} to {others[-1]}": others, "none": []}
    rows = [
        [
            name_shift(shift) or "clean",
            model,
            *(_share(causes, case_of(model, shift, layers)) for layers in measuring.values()),
        ]
        for shift in (CLEAN, *_SHIFTS)
        for model in MODELS
    ]
    return ["images", "model", *measuring], rows


def note(causes: Causes) -> str:
    """Say how it was measured, and what else was seen."""
    ranks = ", ".join(
        f"{model} {rank:.2f} before layer {layer}"
        for (model, layer), rank in causes.ranks.items()
        if layer in (causes.layers[0], causes.layers[-1])
    )
    near = (
        " Over all shifts, the distance of the statistics from those of clean images ranks with "
        f"the accuracy lost: {ranks} (Spearman, mean over networks)."
    ) * bool(ranks)
    return (
        "The table: accuracy by which layers measure the images. bn measures 100 test images at a "
        "time, gn and ln each image; the other layers take running averages in bn, and averages "
        "of the first 2,000 clean training images in gn and ln. Lost accuracy counts from clean "
        "images in bn, from the same images without freezing in gn and ln; its share is a ratio "
        "of means over the networks, with a 95 % bootstrap interval over the seeds, given where "
        "at least five points are lost. Each intervention is compared with the same networks "
        "without it (Student's paired test; those in bn, those in gn and ln, and changes of "
        "channels are a family each, Holm). It speaks of the networks it was made in: what breaks "
        f"gn and ln is a parallel to bn, not its cause.{near} Repeat it with make causes."
    )


def _restores_most(effect: Effect) -> bool:
    is_restored = effect.restored is not None and effect.restored.interval.low > _MOST
    return effect.comparison.differs and is_restored


def _share(causes: Causes, case: Case) -> str:
    return format_share(mean(causes.accuracies(case)), 0)
