"""How sure a count makes us."""

from math import sqrt
from typing import NamedTuple

_Z95 = 1.959963984540054


class Interval(NamedTuple):
    """A 95 % interval of a proportion."""

    low: float
    high: float


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
