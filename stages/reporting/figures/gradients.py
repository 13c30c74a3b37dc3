"""The norms of gradients before training, from the last layer to the first."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from stages.analysis.gradients import Growth
from stages.reporting.figures.style import LOOKS, figure_style, subplots
from stages.reporting.words import call

PLACEMENTS = {"after": "Normalization after the ReLU", "before": "before the ReLU"}


def draw_gradients(found: Sequence[Growth]) -> Figure:
    """Draw a line for each network: how much larger its gradients are than in its last block."""
    with figure_style():
        figure, panels = subplots(6.4, 3.6, 1, 2, sharey=True)
        for axes, (placement, title) in zip(panels, PLACEMENTS.items(), strict=True):
            for growth in found:
                for number, norms in enumerate(growth.norms):
                    if growth.placement == placement:
                        axes.plot(
                            range(len(norms) - 1, -1, -1),
                            norms,
                            **LOOKS[growth.model],
                            markevery=[0],
                            linewidth=0.7,
                            label=call(growth.model) if number == 0 else None,
                        )
            axes.set(title=title, xlabel="layers before the last", yscale="log")
        panels[0].set(ylabel="norm of the gradient (last = 1)")
        panels[1].legend()
    return figure
