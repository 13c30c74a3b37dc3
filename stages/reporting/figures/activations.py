"""What the normalization layers do inside the trained networks."""

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from stages.evaluation.activations import NUM_IMAGES, Observed
from stages.reporting.figures.style import (
    COLOURS,
    GREY,
    INK,
    MARKERS,
    NAMES,
    figure_style,
    subplots,
)


def draw_activations(block: str, observed: dict[str, Observed]) -> Figure:
    """Draw the distributions before and after normalization in ``block``, one row per model.

    Args:
        block: the name of the part of the network.
        observed: by model.
    """
    with figure_style():
        figure, rows = subplots(5.4, 6.2, len(observed), sharex=True)
        for axes, (model, one) in zip(rows, observed.items(), strict=True):
            edges = one.edges.numpy()
            # After a ReLU, an element that is exactly 0 is one that the ReLU switched off.
            axes.stairs(
                one.before.numpy(), edges, fill=True, color=GREY, alpha=0.35, label="before"
            )
            axes.stairs(
                one.after.numpy(), edges, color=COLOURS[model], linewidth=1.6, label="after"
            )
            axes.set(yscale="log", ylim=(1e-4, 1))
            axes.set_xscale("asinh", linear_width=1, base=0)  # as the bins are spaced
            axes.set_xticks([-10, -1, 0, 1, 10, 100])
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.set_title(f"{model}: {NAMES[model]}", fontsize=11)
            axes.set_ylabel("share of activations")
            axes.legend(loc="upper right")
        rows[-1].set_xlabel(f"activation at the normalization of {block} (asinh scale)")
    return figure


def draw_running_statistics(observed: dict[str, Observed]) -> Figure:
    """Draw batch normalization's running statistics against those of clean images, by channel."""
    with figure_style():
        figure, panels = subplots(5.4, 6.2, 2)
        for axes, quantity in zip(panels, ("mean", "variance"), strict=True):
            for (block, one), filled in zip(observed.items(), (True, False), strict=True):
                colour = COLOURS["bn"]
                axes.plot(
                    getattr(one, f"running_{quantity}").numpy(),
                    getattr(one, f"batch_{quantity}").numpy(),
                    MARKERS["bn"],
                    color=colour,
                    markerfacecolor=colour if filled else "none",
                    label=block,
                )
            axes.axline((0, 0), slope=1, color=INK, linewidth=0.8, linestyle="--")
            axes.set(
                title=f"{quantity.capitalize()} of each channel",
                xlabel=f"running {quantity}, used to evaluate",
                ylabel=f"{quantity}, {NUM_IMAGES} test images",
            )
            axes.legend(loc="upper left")
    return figure
