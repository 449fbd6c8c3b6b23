"""A law in one figure: what was fitted, what was predicted, what came."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from trm_scaling.plots.figure import StudyFigure, drawing, panels
from trm_scaling.plots.style import MARKERS, ThemeName


def plot_law(
    points: pd.DataFrame,
    compared: pd.DataFrame | None,
    path: Path | None = None,
    *,
    title: str,
    law: Callable[[float, np.ndarray], np.ndarray] | None = None,
    theme: ThemeName = "light",
) -> StudyFigure:
    """Left: L against samples, a colour a size. Right, once measured: predicted against observed.

    `points` has the columns size, samples, loss, run, held_out and fitted (neither: a point that the fit
    left out, drawn grey); `compared` observed, predicted, low, high and carried.
    `law` gives L of one size after many samples, and is drawn at each size.
    """
    sizes = sorted(points["size"].unique())
    with drawing(title, path, theme, height=3.2) as figure:
        axes = panels(figure, (1.0,) if compared is None else (1.4, 1.0))
        for number, size in enumerate(sizes):
            colour = figure.theme.series[number % len(figure.theme.series)]
            rows = points[points["size"] == size]
            for (held, fitted), part in rows.groupby(["held_out", "fitted"]):
                edge = colour if held or fitted else figure.theme.muted
                label = f"{_short(size)} parameters{', held out' if held else ''}"
                means = np.log(part["loss"].astype(float)).groupby(part["samples"]).mean()
                axes[0].plot(
                    means.index,
                    np.exp(means),
                    linestyle="none",
                    marker=MARKERS[number % len(MARKERS)],
                    markersize=4.5,
                    markerfacecolor=colour if fitted else figure.theme.paper,
                    markeredgecolor=edge,
                    label=label if held or fitted else None,
                )
            if law is not None:
                samples = np.geomspace(points["samples"].min(), points["samples"].max(), 60)
                axes[0].plot(samples, law(size, samples), color=colour, linewidth=0.9, alpha=0.8)
        _label(axes[0], "samples (puzzles x supervision steps)", "share of wrong cells")
        axes[0].legend(fontsize=6, frameon=False)
        figure.caption.append(f"Geometric means over seeds; {points['run'].nunique()} runs.")
        if points["held_out"].any():
            figure.caption.append("Filled: fitted. Open: held out.")
        if not (points["held_out"] | points["fitted"]).all():
            figure.caption.append("Open and grey: the first points of a run, which are not fitted.")
        if law is not None:
            figure.caption.append("Lines: the law, fitted to the filled points alone.")
        if compared is not None:
            _draw_comparison(axes[1], figure, compared)
    return figure


def _draw_comparison(axes: Axes, figure: StudyFigure, compared: pd.DataFrame) -> None:
    numbers = compared[["observed", "predicted", "low", "high", "carried"]].astype(float)
    observed, theme = numbers["observed"], figure.theme
    axes.vlines(observed, numbers["low"], numbers["high"], color=theme.data, linewidth=0.8, alpha=0.6)
    axes.plot(observed, numbers["predicted"], "o", markersize=4, color=theme.data, label="the law")
    axes.plot(observed, numbers["carried"], "x", markersize=4, color=theme.muted, label="next smaller size")
    ends = np.array([observed.min(), observed.max()])
    axes.plot(ends, ends, color=theme.muted, linewidth=0.8)
    _label(axes, "observed share of wrong cells", "predicted")
    axes.legend(fontsize=6, frameon=False, loc="upper left")
    figure.caption.append("Right: held-out points; bars are 95 % intervals of one run.")


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value / 1e3:.3g} k" if value >= 1e3 else f"{value:.3g}"
