"""Where an axis has ticks: at the values that were tried, else at round ones; labels never touch."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from trm_scaling.plots.quantity import Quantity
from trm_scaling.plots.style import SMALL, TEXT
from trm_scaling.plots.typeset import width_of, wrapped

Direction = Literal["x", "y"]

_MOST_TRIED = 12
"""Values that may each have a tick."""
_LEAST_SPAN = 0.05
"""Of an axis of accuracy: less than that is noise, and should look like it."""
_GAP = 0.06
"""Inches between two labels."""
_ROUND = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
"""What multiplies the powers of ten, the sparsest first."""


def set_axis(
    axes: Axes,
    direction: Direction,
    quantity: Quantity,
    values: Sequence[float] | np.ndarray,
    *,
    tried: bool = False,
    from_zero: bool = False,
    room: float = 2.6,
) -> None:
    """Scale, limits, ticks and label of one axis for `values`; ticks at each of them where `tried`.

    `from_zero` begins a linear axis there; `room` is the length of an x axis in inches.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    factor, _ = quantity.unit(finite)
    log = quantity.log and finite.size > 0 and bool((finite > 0).all())
    log = log and not from_zero
    limits = _accuracy_limits(finite) if quantity.kind == "accuracy" else _limits(finite, log)
    if from_zero:
        limits = (0.0, 1.08 * float(finite.max(initial=0.0)) or 1.0)
    distinct = np.unique(finite)
    places = distinct if tried and distinct.size <= _MOST_TRIED else _round_places(limits, factor, log)
    if direction == "x":
        places = _apart(places, [quantity.written(place, factor) for place in places], limits, log, room)
    axis = axes.xaxis if direction == "x" else axes.yaxis
    if log:
        axes.set_xscale("log") if direction == "x" else axes.set_yscale("log")
    axes.set_xlim(limits) if direction == "x" else axes.set_ylim(limits)
    axis.set_major_locator(FixedLocator(places.tolist()))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantity.written(value, factor)))
    label = quantity.label(finite)
    axis.set_label_text("\n".join(wrapped(label, TEXT, room)) if direction == "x" else label)


def _limits(values: np.ndarray, log: bool) -> tuple[float, float]:
    """A little wider than `values`; any width where they are all the same."""
    if values.size == 0:
        return (0.5, 2.0) if log else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if log:
        margin = (high / low) ** 0.07 if high > low else 2.0
        return low / margin, high * margin
    margin = 0.07 * (high - low) if high > low else max(abs(high) / 2, 0.5)
    return low - margin, high + margin


def _accuracy_limits(values: np.ndarray) -> tuple[float, float]:
    """At least five points of accuracy, of what is possible (and a hair more, for whole markers)."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    margin = max(0.06 * (high - low), (_LEAST_SPAN - (high - low)) / 2)
    low, high = low - margin, high + margin
    hair = 0.02 * (high - low)
    return max(low, -hair), min(high, 1 + hair)


def _round_places(limits: tuple[float, float], factor: float, log: bool) -> np.ndarray:
    low, high = limits[0] / factor, limits[1] / factor
    if not log:
        return _evenly(low, high, 6) * factor
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for multiples in _ROUND:
        found = np.sort(np.outer(powers, multiples).ravel())
        found = found[(found >= low) & (found <= high)]
        if found.size >= 3:
            every = int(np.ceil(found.size / 8))
            return np.asarray(found[::every]) * factor
    return _evenly(low, high, 5) * factor


def _evenly(low: float, high: float, most: int) -> np.ndarray:
    found = np.asarray(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    return found[(found >= low) & (found <= high)]


def _apart(
    places: np.ndarray, labels: Sequence[str], limits: tuple[float, float], log: bool, room: float
) -> np.ndarray:
    """Those of `places` whose labels do not run into the one before."""
    ends = np.log(limits) if log else np.asarray(limits)
    centres = ((np.log(places) if log else places) - ends[0]) / (ends[1] - ends[0]) * room
    kept: list[int] = []
    free = -np.inf
    for index, (centre, label) in enumerate(zip(centres, labels, strict=True)):
        half = width_of(label, SMALL) / 2
        if centre - half >= free:
            kept.append(index)
            free = centre + half + _GAP
    return places[kept]
