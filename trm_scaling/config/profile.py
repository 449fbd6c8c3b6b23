"""What a profile makes of the values that an experiment studies: declared points, and lines between them.

A profile's `values:` holds points for a field, `arch.L_cycles: {6: 3}` or
`arch.hidden_size: {256: 32, 512: 64, 1536: 128}`: what the paper has, and what this profile takes for it.
Between two points the map is a straight line, beyond them it is proportional, so one point alone
scales. A field without points, and whatever is no number, is taken as it is.
"""

import math
from bisect import bisect
from collections.abc import Mapping
from typing import Any, NamedTuple

from trm_scaling.errors import UserError

Points = Mapping[float, float]


class MappedValue(NamedTuple):
    """One field of an experiment: as the paper's profile has it, and as this profile has it."""

    field: str
    paper: Any
    here: Any


def map_value(value: Any, points: Points | None) -> Any:
    """`value` under a profile: a whole number stays one, rounded down but at least 1; 0 stays 0 (off)."""
    if not points or value == 0 or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    here = _line(value, sorted(points.items()))
    if isinstance(value, int):
        return max(1, math.floor(here + 1e-9))
    # Products of decimal fractions carry binary dust: 3e-5 x 10 is 0.00030000000000000003.
    return float(f"{here:.9g}")


def _line(value: float, points: list[tuple[float, float]]) -> float:
    after = bisect([paper for paper, _ in points], value)
    if after == 0 or value in (points[0][0], points[after - 1][0]) or after == len(points):
        paper, here = points[max(after - 1, 0)]
        return value * here / paper
    (low, here_low), (high, here_high) = points[after - 1], points[after]
    return here_low + (value - low) * (here_high - here_low) / (high - low)


def check_points(values: Any, where: str) -> dict[str, Points]:
    """A profile's `values:` as points by field. Raises UserError for anything but positive numbers."""
    for field, points in (values or {}).items():
        good = isinstance(points, Mapping) and points
        numbers = [number for pair in points.items() for number in pair] if good else [None]
        if not all(isinstance(n, int | float) and not isinstance(n, bool) and n > 0 for n in numbers):
            raise UserError(
                f"{where}: values: {field}: {points!r} are no points; write {{paper value: value here}}, "
                "positive numbers, as in arch.L_cycles: {6: 3}"
            )
    return dict(values or {})
