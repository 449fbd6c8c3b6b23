"""Accuracy after each supervision step of an answer."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from trm_scaling.errors import UserError
from trm_scaling.plots.drawing import drawing, panels
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.quantity import ACCURACY, percent, quantity_of
from trm_scaling.plots.rows import frame_of
from trm_scaling.plots.series import MOST_SERIES, Series, named_and_crowd, series_of
from trm_scaling.plots.style import SINGLE_COLUMN, Theme, ThemeName
from trm_scaling.plots.ticks import set_axis
from trm_scaling.plots.typeset import short


def plot_accuracy_by_step(
    by_step: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    labels: Mapping[str, str] | None = None,
) -> StudyFigure:
    """Test accuracy after 1, 2, ... supervision steps, a line a configuration (its mean over seeds).

    `by_step` is `results.curves.accuracy_by_step` of a table. `labels`: experiment -> its name in the
    legend. Raises UserError for a table without its columns, or without rows.
    """
    table = frame_of(by_step)
    with drawing("Accuracy after each supervision step", path, theme, width=SINGLE_COLUMN * 1.5) as figure:
        (axes,) = panels(figure, 1)
        draw_accuracy_by_step(axes, figure.theme, table, labels or {})
        axes.legend(loc="lower right")
        means = _means(table)
        figure.description += [
            f"{name}: {percent(line.iloc[0])} after step {line.index[0]:g}, {percent(line.iloc[-1])} after "
            f"step {line.index[-1]:g}."
            for name, line in means.items()
        ]
        figure.caption.append("Means over seeds, without halting.")
        if len(means) > MOST_SERIES:
            figure.caption.append(
                f"Of {len(means)} configurations, the {MOST_SERIES} that end highest are named."
            )
    return figure


def draw_accuracy_by_step(axes: Axes, theme: Theme, by_step: pd.DataFrame, labels: Mapping[str, str]) -> None:
    """A line for each experiment of `by_step`, in the order of `labels` and then of the table.

    Of more than seven, those that end highest are named and the others are grey.
    """
    means = _means(by_step)
    names = [name for name in labels if name in means] + [name for name in means if name not in labels]
    named, crowd = named_and_crowd({name: float(means[name].iloc[-1]) for name in names})
    for name in crowd:
        axes.plot(means[name].index, means[name], color=theme.muted, alpha=0.35, linewidth=0.8, zorder=1)
    for name, look in zip(named, series_of(theme, len(named)), strict=True):
        _line(axes, means[name], short(labels.get(name, name)), look)
    every = pd.concat(means.values())
    set_axis(axes, "x", quantity_of("supervision_step"), every.index.to_numpy(float), from_zero=True)
    set_axis(axes, "y", ACCURACY, every.to_numpy(float))


def _line(axes: Axes, line: pd.Series, label: str, look: Series) -> None:
    axes.plot(
        line.index,
        line.to_numpy(float),
        color=look.colour,
        marker=look.marker,
        markersize=3,
        markevery=max(1, len(line) // 8),
        linestyle=look.line,
        label=label,
        zorder=look.height,
    )


def _means(by_step: pd.DataFrame) -> dict[str, pd.Series]:
    missing = {"experiment", "supervision_step", "accuracy"} - set(by_step.columns)
    if missing:
        raise UserError(f"the table of accuracy by step has no column {', '.join(sorted(missing))}")
    if by_step.empty:
        raise UserError("the table of accuracy by step has no rows: no finished run, so nothing to draw")
    return {
        str(name): rows.groupby("supervision_step")["accuracy"].mean().sort_index()
        for name, rows in by_step.groupby("experiment", sort=False)
    }
