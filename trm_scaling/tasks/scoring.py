"""How sure a count makes us, and the one scale of difficulty that counts are given by."""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_Z95 = 1.959963984540054

_BANDS = ((0, 0), (1, 3), (4, 15), (16, 63), (64, 255), (256, None))
"""Ratings of the difficulty bands, both ends included: no guess, then powers of four."""


class Interval(NamedTuple):
    """A 95 % interval of a proportion."""

    low: float
    high: float


def interval(successes: int | float, total: int) -> Interval | None:
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


def rating_bands(ratings: NDArray[np.int32]) -> list[tuple[str, NDArray[np.bool_]]]:
    """The bands that `ratings` [M] reach, each with its name and which puzzles are in it [M].

    Negative ratings, which stand for none, come last as `unrated`.
    """
    bands = []
    for low, high in _BANDS:
        name = f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
        bands.append((name, (ratings >= low) & (ratings <= (np.inf if high is None else high))))
    bands.append(("unrated", ratings < 0))
    return [(name, inside) for name, inside in bands if inside.any()]
