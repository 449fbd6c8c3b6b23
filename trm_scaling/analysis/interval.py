"""A 95 % interval, and what it was made by."""

from dataclasses import dataclass
from math import inf
from typing import Self

import numpy as np

LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
"""The probabilities below the two ends of a two-sided interval."""


@dataclass(frozen=True)
class Interval:
    """The values at `LEVEL` that the data do not contradict."""

    low: float | None
    """None: no lower end was found."""
    high: float | None
    """None: no upper end was found."""
    method: str
    """What made it, in words."""

    @classmethod
    def of_draws(cls, draws: np.ndarray, method: str) -> Self | None:
        """The central 95 % of `draws`, (R,); None when fewer than half of them are numbers."""
        finite = draws[np.isfinite(draws)]
        if finite.size < max(2, draws.size / 2):
            return None
        low, high = np.quantile(finite, TAILS)
        return cls(float(low), float(high), method)

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high, infinite where there is no end."""
        return -inf if self.low is None else self.low, inf if self.high is None else self.high

    def contains(self, value: float) -> bool:
        low, high = self.ends
        return low <= value <= high

    def clipped(self, least: float, most: float) -> "Interval":
        """Without what lies outside [least, most], where the number cannot be."""
        low, high = self.ends
        return Interval(max(low, least), min(high, most), self.method)

    def open_at(self, least: float, most: float) -> "Interval":
        """Without the ends that are only where a search ended."""
        low, high = self.ends
        return Interval(None if low <= least else low, None if high >= most else high, self.method)
