"""Names beside marks, where there is room for them."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.style import SMALL
from trm_scaling.plots.typeset import short, width_of

_SIZE = SMALL - 0.5
_HIGH = 1.25 * _SIZE / 72
_AWAY = 0.06
"""Inches between a mark and its name."""
_MARK = 0.045
"""Inches: half of a mark."""

Place = tuple[float, float]
"""x and y in the units of the data."""


def name_places(
    figure: StudyFigure, axes: Axes, named: Mapping[str, Place], others: Sequence[Place] = ()
) -> None:
    """Write each name beside its place, off the marks at all places and off one another.

    A name without room is left out.
    """

    def place() -> None:
        size = np.asarray(axes.get_position().size) * figure.get_size_inches()
        every = np.array([*named.values(), *others], dtype=float).reshape(-1, 2)
        inches = axes.transAxes.inverted().transform(axes.transData.transform(every)) * size
        taken = [(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in inches]
        for (x, y), name in zip(inches, named, strict=False):
            text = short(name)
            wide = width_of(text, _SIZE)
            for left, bottom in _sides(wide):
                box = (x + left, y + bottom, x + left + wide, y + bottom + _HIGH)
                if _inside(box, size) and not any(_overlap(box, other) for other in taken):
                    taken.append(box)
                    _write(axes, named[name], text, (left, bottom))
                    break

    figure.after_layout.append(place)


def _sides(wide: float) -> list[tuple[float, float]]:
    """Left and bottom of a name relative to its mark, the best first."""
    above, below, level = _AWAY, -_AWAY - _HIGH, -_HIGH / 2
    left, right, centre = -_AWAY - wide, _AWAY, -wide / 2
    near = [(left, above), (right, below), (left, level), (right, level), (centre, above), (centre, below)]
    far = [
        (left, above + _HIGH),
        (right, below - _HIGH),
        (left, above + 2 * _HIGH),
        (right, below - 2 * _HIGH),
    ]
    return near + far


def _inside(box: tuple[float, float, float, float], size: np.ndarray) -> bool:
    return box[0] > 0.03 and box[1] > 0 and box[2] < size[0] and box[3] < size[1] + 0.1


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _write(axes: Axes, at: tuple[float, float], name: str, offset: tuple[float, float]) -> None:
    axes.annotate(
        name,
        at,
        xytext=(offset[0] * 72, offset[1] * 72),
        textcoords="offset points",
        size=_SIZE,
        va="bottom",
        zorder=5,
        annotation_clip=False,
    ).set_in_layout(False)
