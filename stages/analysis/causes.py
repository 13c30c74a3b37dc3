"""Why the models differ: what the interventions in their networks show."""

from collections.abc import Iterable
from statistics import mean

from stages.records.causes import Row


def choose_prior(rows: Iterable[Row]) -> int:
    """Return how many images fixed statistics count as, by the accuracy on training images.

    The mean over the networks, shifts and numbers of images on record; of equals, the smallest.
    """
    accuracies: dict[int, list[float]] = {}
    for row in rows:
        if row.split == "train":
            accuracies.setdefault(row.prior, []).append(row.accuracy)
    return max(sorted(accuracies), key=lambda prior: mean(accuracies[prior]))
