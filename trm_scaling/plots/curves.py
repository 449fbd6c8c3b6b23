"""Lines of several configurations in one panel: learning curves, accuracy by step, halting steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from trm_scaling.analysis import summarise_halting
from trm_scaling.errors import UserError
from trm_scaling.plots.configurations import frame_of
from trm_scaling.plots.figure import StudyFigure, drawing, panels, short
from trm_scaling.plots.quantity import quantity_of, set_axis
from trm_scaling.plots.style import MARKERS, Theme, ThemeName
from trm_scaling.results.curves import TEST
from trm_scaling.results.format import compact, percent

MOST_NAMED = len(MARKERS)
"""Lines that can be told apart in one panel; the others are grey."""
_DASHES = ("solid", "dashed", "dashdot")


def plot_learning_curves(
    curves: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    labels: Mapping[str, str] | None = None,
) -> StudyFigure:
    """Validation accuracy against samples, a line a configuration (its mean over seeds).

    `curves` is `results.curves.learning_curves` of a table; `labels`: experiment -> its name in the
    legend. Raises UserError for a table without its columns, or without an evaluation.
    """
    table = _checked(curves, ("experiment", "seed", "puzzle_steps", "val_accuracy"), "learning curves")
    table = table[table["val_accuracy"].notna()]
    if table.empty:
        raise UserError("the table of learning curves has no evaluation: nothing to draw")
    means = {
        str(name): _complete(rows, "puzzle_steps", "val_accuracy")
        for name, rows in table.groupby("experiment", sort=False)
    }
    with drawing("Learning curves", path, theme, height=3.0) as figure:
        (axes,) = panels(figure)
        named = _lines(axes, figure.theme, means, {n: float(m.max()) for n, m in means.items()}, labels or {})
        set_axis(
            axes, "x", quantity_of("puzzle_steps"), table["puzzle_steps"].to_numpy(float), from_zero=True
        )
        set_axis(axes, "y", quantity_of("val_accuracy"), table["val_accuracy"].to_numpy(float))
        figure.description += [
            f"{name} peaks at {percent(means[name].max())} after {compact(means[name].idxmax())} samples and "
            f"ends at {percent(means[name].iloc[-1])}."
            for name in named
        ]
        runs = len(table.groupby(["experiment", "seed"], dropna=False))
        figure.caption.append(f"Means over seeds; {runs} runs of {len(means)} configurations.")
        figure.caption += _crowd_said(len(means), "peak highest")
    return figure


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
    table = _checked(by_step, ("experiment", "supervision_step", "accuracy"), "accuracy by step")
    means = {
        str(name): rows.groupby("supervision_step")["accuracy"].mean().sort_index()
        for name, rows in table.groupby("experiment", sort=False)
    }
    with drawing("Accuracy after each supervision step", path, theme, height=3.0) as figure:
        (axes,) = panels(figure)
        _lines(axes, figure.theme, means, {n: float(m.iloc[-1]) for n, m in means.items()}, labels or {})
        every = pd.concat(means.values())
        set_axis(axes, "x", quantity_of("supervision_step"), every.index.to_numpy(float), from_zero=True)
        set_axis(axes, "y", quantity_of("test_accuracy"), every.to_numpy(float))
        figure.description += [
            f"{name}: {percent(line.iloc[0])} after step {line.index[0]:g}, {percent(line.iloc[-1])} after "
            f"step {line.index[-1]:g}."
            for name, line in means.items()
        ]
        figure.caption += ["Means over seeds, without halting.", *_crowd_said(len(means), "end highest")]
    return figure


def plot_halting_histograms(
    histograms: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    labels: Mapping[str, str] | None = None,
) -> StudyFigure:
    """The share of test puzzles that halt at each supervision step, a line a configuration.

    `histograms` is `results.curves.halting_histograms` of a table; `labels`: experiment -> its name in
    the legend. Raises UserError for a table without its columns, or without a histogram of the test split.
    """
    table = _checked(histograms, ("experiment", "at", "supervision_step", "count"), "halting steps")
    counts = {
        str(name): rows.groupby("supervision_step")["count"].sum()
        for name, rows in table[table["at"] == TEST].groupby("experiment", sort=False)
        if rows["count"].sum() > 0
    }
    if not counts:
        raise UserError("the table of halting steps counts no puzzle of the test split: no finished run")
    shares = {name: 100 * each / each.sum() for name, each in counts.items()}
    with drawing("Halting steps", path, theme, height=3.0) as figure:
        (axes,) = panels(figure)
        quickest = {name: -float(each.index.to_numpy() @ each) for name, each in shares.items()}
        _lines(axes, figure.theme, shares, quickest, labels or {}, steps=True)
        most = int(max(each.index.max() for each in shares.values()))
        axes.set(xlim=(0.5, most + 0.5), xlabel="Supervision step at which a puzzle halts")
        axes.set_xticks(range(1, most + 1, max(1, round(most / 16))))
        axes.set_ylim(bottom=0)
        axes.set_ylabel("Share of test puzzles (%)")
        for name, each in counts.items():
            full = each.reindex(range(1, int(each.index.max()) + 1), fill_value=0)
            found = summarise_halting(full.astype(int).tolist())
            figure.description.append(
                f"{name} halts after {found.mean:.1f} of {found.most_steps} steps in the mean, half of the "
                f"puzzles by step {found.quantiles[1]}."
            )
        figure.caption.append("Test puzzles of all seeds together, each counted at the step where it halted.")
        figure.caption += _crowd_said(len(shares), "halt earliest")
    return figure


def named_of(scores: Mapping[str, float]) -> list[str]:
    """The names with the `MOST_NAMED` highest scores, in the order given."""
    best = set(sorted(scores, key=lambda name: -scores[name])[:MOST_NAMED])
    return [name for name in scores if name in best]


def _lines(
    axes: Axes,
    theme: Theme,
    lines: Mapping[str, pd.Series],
    scores: Mapping[str, float],
    labels: Mapping[str, str],
    *,
    steps: bool = False,
) -> list[str]:
    """Draw them, in the order of `labels` and then their own; the names of those in the legend."""
    order = [name for name in labels if name in lines] + [name for name in lines if name not in labels]
    named = named_of({name: scores[name] for name in order})
    drawstyle = "steps-mid" if steps else "default"
    for name in order:
        if name not in named:
            axes.plot(
                lines[name].index,
                lines[name],
                color=theme.muted,
                alpha=0.35,
                linewidth=0.8,
                drawstyle=drawstyle,
            )
    for index, name in enumerate(named):
        line = lines[name]
        axes.plot(
            line.index,
            line.to_numpy(float),
            color=theme.series[index],
            # A few lines have dashes too, so that equal ones are both seen.
            linestyle=_DASHES[index] if len(named) <= len(_DASHES) else "solid",
            marker=MARKERS[index],
            markersize=3.5,
            markevery=max(1, len(line) // 8),
            drawstyle=drawstyle,
            label=short(labels.get(name, name)),
            gid="curve",
        )
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return named


def _complete(rows: pd.DataFrame, x: str, y: str) -> pd.Series:
    """Means of `y` by `x`, where every run has one; all of them where there is no such place."""
    found = rows.groupby(x)[y].agg(["mean", "count"])
    full = found[found["count"] == rows["seed"].nunique(dropna=False)]["mean"]
    return full if len(full) else found["mean"]


def _checked(table: object, columns: Sequence[str], what: str) -> pd.DataFrame:
    frame = frame_of(table)
    if missing := [column for column in columns if column not in frame]:
        raise UserError(f"the table of {what} has no column {', '.join(missing)}")
    if frame.empty:
        raise UserError(f"the table of {what} has no rows: no finished run, so nothing to draw")
    return frame


def _crowd_said(count: int, how: str) -> list[str]:
    return (
        [f"Of {count} configurations, the {MOST_NAMED} that {how} are named."] if count > MOST_NAMED else []
    )
