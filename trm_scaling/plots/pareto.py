"""Accuracy against what it costs: which configurations no other beats on both."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from trm_scaling.analysis import Frontier, SeedSummary, pareto_frontier
from trm_scaling.analysis.frontier import FrontierPoint
from trm_scaling.errors import UserError
from trm_scaling.plots import marks
from trm_scaling.plots.configurations import bars, frame_of, shown
from trm_scaling.plots.figure import StudyFigure, drawing, panels, short
from trm_scaling.plots.quantity import ACCURACY, quantity_of, set_axis
from trm_scaling.plots.style import SMALL, Theme, ThemeName
from trm_scaling.results.device_time import timed_alone
from trm_scaling.results.format import percent

Cost = Literal["params", "training_flops", "device_hours", "cost_usd", "inference_flops"]
"""Columns that accuracy may be bought with."""


def plot_pareto_frontier(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    cost: Cost = "training_flops",
    theme: ThemeName = "light",
    frontier: Frontier | None = None,
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """The frontier of the mean accuracies of `results`, and what lies below it.

    Configurations of one cost that are not on the frontier are one bar, from the lowest mean to the
    highest, with their number. Runs that were timed while something else ran are left out of a cost that is
    a time. `frontier` and `seeds` are records that were made before. Raises UserError when the table lacks
    `test_accuracy` or `cost`, or no run has both.
    """
    alone, left_out = timed_alone(frame_of(results), cost)
    if left_out and alone.empty:
        raise UserError(f"no run counts: {left_out}")
    table = shown(alone, axis=cost, seeds=seeds, with_overrides=True)
    found = frontier or pareto_frontier(table.runs(cost), left_out=left_out)
    intervals = {each.name: each.summary.interval for each in table.configurations}
    points = [point for point in found.points if point.configuration in intervals]
    on = [point for point in points if point.on_frontier]
    standing, x = {point.configuration for point in on}, quantity_of(cost)
    with drawing(f"Accuracy against {x.name[:1].lower()}{x.name[1:]}", path, theme, height=3.2) as figure:
        (axes,) = panels(figure)
        _draw_below(axes, figure.theme, [point for point in points if not point.on_frontier])
        axes.step(
            [point.cost for point in on],
            [point.accuracy for point in on],
            where="post",
            color=figure.theme.law,
            gid="frontier",
        )
        ends: list[float] = []
        for point in on:
            interval = intervals[point.configuration]
            one = np.array([point.accuracy])
            marks.runs_and_mean(axes, figure.theme, point.cost, one, point.accuracy, interval)
            ends += interval.ends if interval else ()
        if found.knee is not None:
            knee = next(each for each in points if each.configuration == found.knee)
            axes.scatter(
                knee.cost,
                knee.accuracy,
                s=110,
                facecolors="none",
                edgecolors=figure.theme.ink,
                gid="knee",
                zorder=5,
            )
        set_axis(axes, "x", x, [point.cost for point in points])
        set_axis(axes, "y", ACCURACY, [*(point.accuracy for point in points), *np.clip(ends, 0, 1)])
        _name(axes, on)
        knee_said = f"; the knee, ringed, is {found.knee}" if found.knee else ""
        figure.finding = (
            f"{len(on)} of {len(points)} configurations are on the frontier of the means{knee_said}."
        )
        figure.caption += [
            f"{len(table.table)} runs. Grey bars: configurations of one cost below the frontier, lowest to "
            "highest mean, with their number.",
            bars([each.summary for each in table.configurations if each.name in standing]),
            f"Probabilities of being on the frontier, in the table: {found.noise}.",
        ]
        if left_out:
            figure.caption.append(f"{left_out[:1].upper()}{left_out[1:]}.")
        factor, unit = x.unit([point.cost for point in points])
        figure.description += [
            f"On the frontier: {point.configuration}, {x.written(point.cost, factor)} {unit}".rstrip()
            + f", {percent(point.accuracy)}."
            for point in on
        ]
    return figure


def _name(axes: Axes, points: Sequence[FrontierPoint]) -> None:
    """The names of the highest first, of each that has room; the table has them all."""
    taken: list[np.ndarray] = []
    for point in reversed(points):
        at = axes.transAxes.inverted().transform(axes.transData.transform((point.cost, point.accuracy)))
        if all(abs(at[0] - other[0]) > 0.16 or abs(at[1] - other[1]) > 0.07 for other in taken):
            taken.append(at)
            marks.beside(axes, point.cost, point.accuracy, short(point.configuration), right=at[0] < 0.5)


def _draw_below(axes: Axes, theme: Theme, points: Sequence[FrontierPoint]) -> None:
    """A bar for each cost, so that configurations of one cost do not hide one another."""
    grouped: dict[float, list[float]] = {}
    for point in points:
        # What differs by less than a hundredth is one place on any axis.
        place = next((cost for cost in grouped if abs(cost / point.cost - 1) < 0.01), point.cost)
        grouped.setdefault(place, []).append(point.accuracy)
    for cost, rates in grouped.items():
        axes.plot(
            [cost, cost], [min(rates), max(rates)], color=theme.muted, alpha=0.6, linewidth=3, gid="below"
        )
        axes.scatter([cost] * 2, [min(rates), max(rates)], s=12, color=theme.muted, linewidths=0, gid="below")
        if len(rates) > 1:
            axes.annotate(
                str(len(rates)),
                (cost, (min(rates) + max(rates)) / 2),
                xytext=(4, 0),
                textcoords="offset points",
                size=SMALL,
                color=theme.muted,
                va="center",
            ).set_in_layout(False)
