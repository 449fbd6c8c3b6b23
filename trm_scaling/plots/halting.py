"""When networks choose to stop: adaptive halting, and histograms of halting steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from trm_scaling.analysis import SeedSummary, summarise_halting
from trm_scaling.errors import UserError
from trm_scaling.plots import style
from trm_scaling.plots.choice_labels import exploration_label, labelled
from trm_scaling.plots.choices import choice_figure, choice_width, draw_choice
from trm_scaling.plots.configurations import shown
from trm_scaling.plots.drawing import drawing, panels
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.measures import known
from trm_scaling.plots.rows import frame_of, rows_of_family
from trm_scaling.plots.series import named_and_crowd, series_of
from trm_scaling.plots.style import Theme, ThemeName
from trm_scaling.plots.typeset import short

AT_THE_END = "test"
"""What `halting_histograms` calls the test split, read once after training."""
_TITLE = "Adaptive halting"


def plot_adaptive_halting(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    seeds: Sequence[SeedSummary] | None = None,
    histograms: pd.DataFrame | None = None,
) -> StudyFigure:
    """contrib02: accuracy, mean steps under the halting rule, and when puzzles halt.

    `histograms` is `results.curves.halting_histograms` of the same runs; without it that panel is left
    out. `seeds` are summaries that were made before. Raises UserError as `plot_precision` does.
    """
    key, wanted = "contrib02", ("halting_mean_steps",)
    if histograms is None or not _has_test(histograms):
        return choice_figure(results, path, key, _TITLE, theme, seeds, exploration_label, wanted)
    table = shown(rows_of_family(results, key), axis=None, seeds=seeds, label=labelled(exploration_label))
    costs = [cost for cost in wanted if known(table, cost)]
    upper = 0.75 + 0.3 * len(table.configurations)
    with drawing(_TITLE, path, theme, width=choice_width(1), height=upper + 2.1) as figure:
        grid = figure.add_gridspec(
            2, 1 + len(costs), height_ratios=[upper, 2.1], width_ratios=[1.7, 1][: 1 + len(costs)]
        )
        first = figure.add_subplot(grid[0, 0])
        rest = [figure.add_subplot(grid[0, index + 1], sharey=first) for index in range(len(costs))]
        draw_choice(figure, [first, *rest], table, costs)
        lower = figure.add_subplot(grid[1, :])
        draw_halting(
            lower, figure.theme, histograms, {each.name: each.label for each in table.configurations}
        )
        figure.description += halting_in_words(histograms)
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
    table = frame_of(histograms)
    with drawing("Halting steps", path, theme, width=style.SINGLE_COLUMN * 1.5) as figure:
        (axes,) = panels(figure, 1)
        draw_halting(axes, figure.theme, table, labels or {})
        figure.description += halting_in_words(table)
        figure.caption.append("Test puzzles of all seeds together, each counted at the step where it halted.")
    return figure


def draw_halting(axes: Axes, theme: Theme, histograms: pd.DataFrame, labels: Mapping[str, str]) -> None:
    """Shares of puzzles by halting step, in the order of `labels` and then of the table."""
    shares = _shares(histograms)
    names = [name for name in labels if name in shares] + [name for name in shares if name not in labels]
    # The quickest to halt are named, where there are more than can be told apart.
    named, crowd = named_and_crowd({name: -_mean_step(shares[name]) for name in names})
    for name in crowd:
        _stairs(axes, shares[name], color=theme.muted, alpha=0.35, linewidth=0.8, zorder=1)
    for name, look in zip(named, series_of(theme, len(named)), strict=True):
        _stairs(
            axes,
            shares[name],
            color=look.colour,
            linestyle=look.line,
            linewidth=1.4,
            label=short(labels.get(name, name)),
            zorder=look.height,
        )
    most = max(len(share) for share in shares.values())
    axes.set_xlim(0.5, most + 0.5)
    axes.set_xticks(range(1, most + 1, max(1, round(most / 16))))
    axes.set_ylim(bottom=0)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("Supervision step at which a puzzle halts")
    axes.set_ylabel("Share of test puzzles (%)")
    axes.legend(loc="best")


def _stairs(axes: Axes, share: np.ndarray, **look: Any) -> None:
    axes.stairs(100 * share, np.arange(len(share) + 1) + 0.5, **look)


def _mean_step(share: np.ndarray) -> float:
    return float(share @ np.arange(1, len(share) + 1))


def halting_in_words(histograms: pd.DataFrame) -> list[str]:
    """Mean and median step of each configuration."""
    said = []
    for name, counts in _counts(histograms).items():
        summary = summarise_halting(counts.tolist())
        said.append(
            f"{name} halts after {summary.mean:.1f} of {summary.most_steps} steps in the mean, half of the "
            f"puzzles by step {summary.quantiles[1]}."
        )
    return said


def _has_test(histograms: pd.DataFrame) -> bool:
    return "at" in histograms and bool((histograms["at"] == AT_THE_END).any())


def _shares(histograms: pd.DataFrame) -> dict[str, np.ndarray]:
    return {name: counts / counts.sum() for name, counts in _counts(histograms).items()}


def _counts(histograms: pd.DataFrame) -> dict[str, np.ndarray]:
    """Experiment -> (N,) puzzles that halted at step 1 ... N, over all seeds, on the test split."""
    missing = {"experiment", "at", "supervision_step", "count"} - set(histograms.columns)
    if missing:
        raise UserError(f"the table of halting steps has no column {', '.join(sorted(missing))}")
    if not _has_test(histograms):
        raise UserError("the table of halting steps has no row of the test split: no finished run")
    found = {}
    for name, rows in histograms[histograms["at"] == AT_THE_END].groupby("experiment", sort=False):
        totals = rows.groupby("supervision_step")["count"].sum()
        counts = np.zeros(int(totals.index.max()))
        counts[totals.index.to_numpy(int) - 1] = totals
        if counts.sum() > 0:
            found[str(name)] = counts
    if not found:
        raise UserError("the table of halting steps counts no puzzle")
    return found
