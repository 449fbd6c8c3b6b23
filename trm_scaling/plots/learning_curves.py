"""Validation accuracy over training, with the peak of each configuration."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from trm_scaling.errors import UserError
from trm_scaling.plots.drawing import drawing, panels
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.quantity import compact, percent, quantity_of
from trm_scaling.plots.rows import frame_of
from trm_scaling.plots.series import Series, named_and_crowd, series_of
from trm_scaling.plots.style import Theme, ThemeName
from trm_scaling.plots.ticks import set_axis
from trm_scaling.plots.typeset import short

_NEEDED = ("experiment", "seed", "puzzle_steps", "val_accuracy")


def plot_learning_curves(
    curves: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    labels: Mapping[str, str] | None = None,
) -> StudyFigure:
    """Validation accuracy against puzzle-steps: runs faint, means over seeds, a mark at each mean's peak.

    `curves` is `results.curves.learning_curves` of a table; `labels`: experiment -> its name in the
    legend. Of more than seven configurations the best seven are named and the others are grey. Raises
    UserError for a table without its columns, or without an evaluation.
    """
    table = _checked(frame_of(curves))
    means = _means(table)
    named, crowd = named_and_crowd({name: float(mean.max()) for name, mean in means.items()})
    with drawing("Learning curves", path, theme, height=3.0) as figure:
        (axes,) = panels(figure, 1)
        for name in crowd:
            axes.plot(
                means[name].index, means[name], color=figure.theme.muted, alpha=0.35, linewidth=0.8, zorder=1
            )
        for name, look in zip(named, series_of(figure.theme, len(named)), strict=True):
            _draw(
                axes,
                figure.theme,
                table[table["experiment"] == name],
                means[name],
                look,
                _label(name, labels),
            )
        puzzle_steps = table["puzzle_steps"].to_numpy(float)
        set_axis(axes, "x", quantity_of("puzzle_steps"), puzzle_steps, from_zero=True, room=5)
        set_axis(axes, "y", quantity_of("val_accuracy"), table["val_accuracy"].to_numpy(float))
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
        figure.description += [_in_words(name, means[name]) for name in named]
        figure.caption += _caption(table, len(means), crowd)
    return figure


def _draw(axes: Axes, theme: Theme, rows: pd.DataFrame, mean: pd.Series, look: Series, label: str) -> None:
    for _, run in rows.groupby("seed", sort=False, dropna=False):
        axes.plot(
            run["puzzle_steps"],
            run["val_accuracy"],
            color=look.colour,
            alpha=0.25,
            linewidth=0.6,
            zorder=look.height - 1,
        )
    axes.plot(mean.index, mean, color=look.colour, linestyle=look.line, zorder=look.height, gid="curve")
    # Drawn once more for the legend: a line with its mark.
    peak = _peak(mean)
    axes.plot(
        [peak],
        [mean.max()],
        color=look.colour,
        marker=look.marker,
        markersize=6,
        markeredgecolor=theme.paper,
        markeredgewidth=0.7,
        linestyle=look.line,
        label=label,
        gid="peak",
        zorder=look.height + 2,
    )


def _checked(curves: pd.DataFrame) -> pd.DataFrame:
    missing = [column for column in _NEEDED if column not in curves]
    if missing:
        raise UserError(f"the table of learning curves has no column {', '.join(missing)}")
    known = curves[curves["val_accuracy"].notna()]
    if known.empty:
        raise UserError("the table of learning curves has no evaluation: nothing to draw")
    return known.sort_values("puzzle_steps", kind="stable")


def _means(curves: pd.DataFrame) -> dict[str, pd.Series]:
    """Experiment -> mean accuracy by puzzle-steps, where every one of its runs was evaluated."""
    found = {}
    for name, rows in curves.groupby("experiment", sort=False):
        runs = rows["seed"].nunique(dropna=False)
        by_step = rows.groupby("puzzle_steps")["val_accuracy"].agg(["mean", "count"])
        full = by_step[by_step["count"] == runs]["mean"]
        found[str(name)] = full if len(full) else by_step["mean"]
    return found


def _peak(mean: pd.Series) -> float:
    """Puzzle-steps at the first highest mean."""
    return float(mean.index.to_numpy(float)[mean.to_numpy(float).argmax()])


def _label(name: str, labels: Mapping[str, str] | None) -> str:
    return short((labels or {}).get(name, name))


def _in_words(name: str, mean: pd.Series) -> str:
    return (
        f"{name} peaks at {percent(mean.max())} after {compact(_peak(mean))} puzzle-steps "
        f"and ends at {percent(mean.iloc[-1])}."
    )


def _caption(table: pd.DataFrame, count: int, crowd: list[str]) -> list[str]:
    runs = len(table.groupby(["experiment", "seed"], dropna=False))
    text = f"{runs} runs of {count} configurations: runs are faint, means over seeds bold, peaks marked."
    return [text, *([f"The {len(crowd)} configurations with lower peaks are grey."] if crowd else [])]
