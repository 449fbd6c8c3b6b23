"""What a profile makes of the values that an experiment studies: declared points, and lines between them.

A profile's `values:` holds points for a field, `arch.L_cycles: {6: 3}` or
`arch.hidden_size: {256: 32, 512: 64, 1536: 128}`: what the paper has, and what this profile takes for it.
Between two points the map is a straight line, beyond them it is proportional, so one point alone
scales. A field without points, and whatever is no number, is taken as it is. Points under the
beginning of a name, `exp03: {arch.L_cycles: {1: 1}}`, hold for those experiments before all others.
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


class Rules:
    """A profile's `values:`, checked."""

    def __init__(self, values: Any, where: str) -> None:
        """Raises UserError for points that are none."""
        self._general: dict[str, Points] = {}
        self._own: dict[str, dict[str, Points]] = {}
        for key, points in (values or {}).items():
            if isinstance(points, Mapping) and any(isinstance(each, Mapping) for each in points.values()):
                self._own[key] = _checked(points, f"{where}: values: {key}")
            else:
                self._general |= _checked({key: points}, f"{where}: values")

    def map(self, experiment: str, field: str, value: Any) -> Any:
        """What `value` of `field` becomes in `experiment`."""
        own = (points for start, points in self._own.items() if experiment.startswith(start))
        points = next((each[field] for each in own if field in each), self._general.get(field))
        return map_value(value, points)


def _checked(points_of: Mapping[str, Any], where: str) -> dict[str, Points]:
    for field, points in points_of.items():
        good = isinstance(points, Mapping) and points
        numbers = [number for pair in points.items() for number in pair] if good else [None]
        if not all(isinstance(n, int | float) and not isinstance(n, bool) and n > 0 for n in numbers):
            raise UserError(
                f"{where}: {field}: {points!r} are no points; write {{paper value: value here}}, "
                "positive numbers, as in arch.L_cycles: {6: 3}"
            )
    return dict(points_of)
