"""Accuracy against what it costs: which configurations no other beats on both."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from trm_scaling.analysis import Frontier, Interval, SeedSummary, pareto_frontier
from trm_scaling.analysis.frontier import FrontierPoint
from trm_scaling.errors import UserError
from trm_scaling.plots import marks
from trm_scaling.plots.configurations import Shown, shown
from trm_scaling.plots.drawing import drawing, panels
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.naming import name_places
from trm_scaling.plots.quantity import ACCURACY, Quantity, percent, quantity_of
from trm_scaling.plots.rows import frame_of
from trm_scaling.plots.style import Theme, ThemeName
from trm_scaling.plots.ticks import set_axis
from trm_scaling.plots.typeset import short
from trm_scaling.results.device_time import timed_alone

Cost = Literal["params", "training_flops", "device_hours", "cost_usd", "inference_flops"]
"""Columns that accuracy may be bought with."""

_UNLIKELY = 0.05
"""A configuration less likely than this to be on the frontier is drawn as one of the crowd."""


def plot_pareto_frontier(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    cost: Cost = "training_flops",
    theme: ThemeName = "light",
    frontier: Frontier | None = None,
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """All configurations of `results`, the frontier of their means, and its knee.

    Marks are the fuller, the likelier a configuration is to be on the frontier of the true accuracies.
    Runs that were timed while something else ran are left out of a cost that is a time. `frontier` and
    `seeds` are records that were made before. Raises UserError when the table lacks `test_accuracy` or
    `cost`, or no run has both.
    """
    alone, left_out = timed_alone(frame_of(results), cost)
    if left_out and alone.empty:
        raise UserError(f"no run counts: {left_out}")
    table = shown(alone, axis=cost, seeds=seeds, with_overrides=True)
    frontier = frontier or pareto_frontier(table.runs(cost), left_out=left_out)
    x = quantity_of(cost)
    with drawing(f"Accuracy against {_lowered(x.name)}", path, theme, height=3.4) as figure:
        (axes,) = panels(figure, 1)
        points = [point for point in frontier.points if point.configuration in table.names]
        _draw(axes, figure.theme, table, points)
        set_axis(axes, "x", x, [point.cost for point in points], room=5.8)
        set_axis(axes, "y", ACCURACY, _in_view(table, points))
        if frontier.knee is not None:
            _ring(axes, figure.theme, next(each for each in points if each.configuration == frontier.knee))
        on = [point for point in points if point.on_frontier]
        named = {point.configuration: (point.cost, point.accuracy) for point in on}
        crowd = [(point.cost, point.accuracy) for point in points if not point.on_frontier]
        name_places(figure, axes, named, crowd)
        figure.finding = _finding(frontier, on)
        figure.caption += [*table.caption(runs_drawn=False), _legend(frontier)]
        if left_out:
            figure.caption.append(f"{left_out[:1].upper()}{left_out[1:]}.")
        figure.description += [_in_words(point, x) for point in on]
    return figure


def _draw(axes: Axes, theme: Theme, table: Shown, points: Sequence[FrontierPoint]) -> None:
    on = [point for point in points if point.on_frontier]
    intervals = _intervals(table)
    axes.step(
        [point.cost for point in on],
        [point.accuracy for point in on],
        where="post",
        color=theme.law,
        linewidth=1.2,
        gid="frontier",
        zorder=2,
    )
    for point in points:
        likely = _likely(point)
        colour = theme.law if likely >= _UNLIKELY else theme.muted
        interval = intervals[point.configuration]
        if interval is not None and likely >= _UNLIKELY:
            axes.plot([point.cost] * 2, interval.ends, color=colour, linewidth=0.9, alpha=0.6, zorder=2.5)
        axes.scatter(
            point.cost, point.accuracy, s=24, color=theme.paper, linewidths=0, zorder=3, clip_on=False
        )
        axes.scatter(
            point.cost,
            point.accuracy,
            s=24,
            color=(colour, 0.15 + 0.85 * likely),
            edgecolors=colour,
            linewidths=0.8,
            gid=marks.MEAN_ID,
            zorder=3.1,
            clip_on=False,
        )


def _likely(point: FrontierPoint) -> float:
    return float(point.on_frontier) if point.probability is None else point.probability


def _intervals(table: Shown) -> dict[str, Interval | None]:
    return {each.name: each.summary.interval for each in table.configurations}


def _in_view(table: Shown, points: Sequence[FrontierPoint]) -> np.ndarray:
    """All means, and the ends of the intervals that are drawn."""
    intervals = _intervals(table)
    drawn = [intervals[point.configuration] for point in points if _likely(point) >= _UNLIKELY]
    ends = [end for interval in drawn if interval is not None for end in interval.ends]
    return np.array([*(point.accuracy for point in points), *np.clip(ends, 0, 1)])


def _ring(axes: Axes, theme: Theme, point: FrontierPoint) -> None:
    axes.scatter(
        point.cost,
        point.accuracy,
        s=110,
        facecolors="none",
        edgecolors=theme.ink,
        linewidths=1.1,
        gid="knee",
        zorder=4,
    )


def _finding(frontier: Frontier, on: Sequence[FrontierPoint]) -> str:
    if not on:
        return ""
    best = max(on, key=lambda point: point.accuracy)
    text = f"{len(on)} of {len(frontier.points)} configurations are on the frontier"
    if frontier.knee is None:
        return f"{text}; the best is {short(best.configuration)} with {percent(best.accuracy)}."
    sure = "" if frontier.knee_probability is None else f" (probability {frontier.knee_probability:.2f})"
    end = f"its end {short(best.configuration)} with {percent(best.accuracy)}"
    return f"{text}; its knee, ringed, is {short(frontier.knee)}{sure}, {end}."


def _in_words(point: FrontierPoint, x: Quantity) -> str:
    factor, unit = x.unit([point.cost])
    bought = f"{x.name.lower()} {x.written(point.cost, factor)} {unit}".strip()
    sure = "" if point.probability is None else f", probability {point.probability:.2f}"
    return f"On the frontier: {point.configuration}, {bought}, {percent(point.accuracy)}{sure}."


def _legend(frontier: Frontier) -> str:
    return f"Filled as it is likely to be on the frontier; grey below 5 %. Probabilities: {frontier.noise}."


def _lowered(name: str) -> str:
    return name[:1].lower() + name[1:]
