"""How several lines in one panel are told apart: by colour, by marker and by dashes."""

from collections.abc import Mapping
from dataclasses import dataclass

from trm_scaling.plots.style import MARKERS, Theme

MOST_SERIES = len(MARKERS)
"""Lines that can be told apart in one panel."""

_DASHES = ("solid", "dashed", "dashdot")


@dataclass(frozen=True)
class Series:
    """The look of one line."""

    colour: str
    marker: str
    line: str
    height: float
    """Higher ones lie on top."""


def series_of(theme: Theme, count: int) -> list[Series]:
    """`count` looks, at most `MOST_SERIES`, the first on top.

    A few lines have dashes too, the dashed on top of the solid, so that equal lines are both seen.
    """
    if count <= len(_DASHES):
        return [
            Series(theme.series[index], MARKERS[index], _DASHES[index], 2 + index / count)
            for index in range(count)
        ]
    return [Series(theme.series[index], MARKERS[index], "solid", 3 - index / count) for index in range(count)]


def named_and_crowd(scores: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """The names with the `MOST_SERIES` highest scores, and the others, both in the order given."""
    best = set(sorted(scores, key=lambda name: -scores[name])[:MOST_SERIES])
    return [name for name in scores if name in best], [name for name in scores if name not in best]
