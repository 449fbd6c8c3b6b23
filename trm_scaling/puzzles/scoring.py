"""Counting what was solved, and how sure a count makes us.

B batch, C cells.
"""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

IGNORE_LABEL = 0
_Z95 = 1.959963984540054


class Counts(NamedTuple):
    """Totals over rows that are real puzzles; rates are count / total."""

    exact: int
    """Puzzles with every labelled cell right."""

    puzzles: int
    cells_right: int
    cells: int


class Interval(NamedTuple):
    """A 95 % interval of a proportion."""

    low: float
    high: float


def solved(predictions: Any, labels: Any) -> Any:
    """Which rows have every labelled cell right, [B] bool, for numpy and JAX arrays [B, C] alike.

    A row without labels counts as right here: mask padded rows with `labels.any(-1)`.
    """
    return ((predictions == labels) | (labels == IGNORE_LABEL)).all(axis=-1)


def count(predictions: NDArray[np.integer], labels: NDArray[np.integer]) -> Counts:
    """Score predictions against labels, [B, C] each. Rows without any label are padding: never counted."""
    labelled = labels != IGNORE_LABEL
    right = (predictions == labels) & labelled
    real = labelled.any(axis=-1)
    exact = (right | ~labelled).all(axis=-1) & real
    return Counts(int(exact.sum()), int(real.sum()), int(right.sum()), int(labelled.sum()))


def interval(successes: int, total: int) -> Interval | None:
    """The Wilson score interval at 95 % (Wilson, 1927); None without observations.

    Unlike the normal approximation it stays inside [0, 1] and keeps its cover at 0 and at 100 %.
    """
    if total == 0:
        return None
    rate = successes / total
    spread = _Z95**2 / total
    centre = (rate + spread / 2) / (1 + spread)
    half = _Z95 / (1 + spread) * sqrt(rate * (1 - rate) / total + spread / (4 * total))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))
