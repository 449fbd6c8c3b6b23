"""The best of a few: each configuration a line of the figure, with what it costs beside its accuracy."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from trm_scaling.analysis import SeedSummary
from trm_scaling.plots import marks, style
from trm_scaling.plots.accuracy import accuracies_in_view
from trm_scaling.plots.choice_labels import (
    curriculum_label,
    depth_label,
    dtype_label,
    ema_label,
    labelled,
    lr_label,
    optimizer_label,
)
from trm_scaling.plots.configurations import Shown, shown
from trm_scaling.plots.drawing import drawing, panels
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.measures import draw_measure_sideways, known
from trm_scaling.plots.quantity import ACCURACY, percent, quantity_of
from trm_scaling.plots.rows import rows_of_family
from trm_scaling.plots.style import Theme, ThemeName
from trm_scaling.plots.ticks import set_axis
from trm_scaling.plots.typeset import short, width_of

_LINE, _REST = 0.3, 0.75
"""Inches of a configuration's line, and of the axis below them."""


def plot_depth_recursion_tradeoff(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """exp03: layers against recursion at one product of the two, with parameters and training compute.

    `seeds` are summaries that were made before. Raises UserError when the table has no `test_accuracy`
    or no `experiment`, or nothing in it can be drawn.
    """
    costs = ("params", "training_flops")
    return choice_figure(results, path, "exp03", "Depth against recursion", theme, seeds, depth_label, costs)


def plot_precision(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """exp07: accuracy, throughput and peak memory by number format. As `plot_depth_recursion_tradeoff`."""
    costs = ("throughput", "peak_memory_bytes")
    return choice_figure(results, path, "exp07", "Precision", theme, seeds, dtype_label, costs)


def plot_ema(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """exp08: accuracy by the rate of the moving average. As `plot_depth_recursion_tradeoff`."""
    return choice_figure(results, path, "exp08", "Moving average of the weights", theme, seeds, ema_label)


def plot_optimizers(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """exp09: accuracy by optimiser and betas. As `plot_depth_recursion_tradeoff`."""
    return choice_figure(results, path, "exp09", "Optimizer", theme, seeds, optimizer_label)


def plot_learning_rates(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """exp10: accuracy by learning rate and its decay. As `plot_depth_recursion_tradeoff`."""
    return choice_figure(results, path, "exp10", "Learning rate", theme, seeds, lr_label)


def plot_curriculum(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """contrib01: accuracy and training compute with and without the curriculum.

    As `plot_depth_recursion_tradeoff`.
    """
    costs = ("training_flops",)
    return choice_figure(
        results, path, "contrib01", "Curriculum recursion", theme, seeds, curriculum_label, costs
    )


def choice_figure(
    results: pd.DataFrame,
    path: str | Path | None,
    key: str,
    title: str,
    theme: ThemeName,
    seeds: Sequence[SeedSummary] | None,
    label: Callable[[pd.Series], str | None],
    costs: Sequence[str] = (),
) -> StudyFigure:
    """Accuracy of each configuration, and those of `costs` that were measured, side by side."""
    table = shown(rows_of_family(results, key), axis=None, seeds=seeds, label=labelled(label))
    costs = [cost for cost in costs if known(table, cost)]
    height = _REST + _LINE * len(table.configurations)
    with drawing(title, path, theme, height=height, width=choice_width(len(costs))) as figure:
        drawn = panels(figure, 1 + len(costs), share_y=True, ratios=[1.7, *([1.0] * len(costs))])
        draw_choice(figure, drawn, table, costs)
    return figure


def choice_width(costs: int) -> float:
    """Inches for accuracy and so many other panels."""
    return style.DOUBLE_COLUMN if costs else style.SINGLE_COLUMN * 1.5


def draw_choice(figure: StudyFigure, drawn: Sequence[Axes], table: Shown, costs: Sequence[str]) -> None:
    """Accuracy in the first of the axes, each of `costs` in one of the others, and the words of both."""
    labels = _distinct(table)
    width = figure.get_size_inches()[0] - max(width_of(label, style.SMALL) for label in labels) - 0.5
    room = width / (1.7 + len(costs))
    draw_accuracies(drawn[0], figure.theme, table, room=1.7 * room * 0.9)
    marks.categories(drawn[0], labels)
    for axes, cost in zip(drawn[1:], costs, strict=True):
        draw_measure_sideways(axes, figure.theme, table, quantity_of(cost), room=room * 0.85)
        axes.grid(axis="y", visible=False)
        axes.tick_params(labelleft=False)
    best = max(table.configurations, key=lambda each: each.summary.mean)
    tried = len(table.configurations)
    if tried > 1:
        figure.finding = (
            f"Highest mean of {tried}: {short(best.label)}, {percent(best.summary.mean)} of puzzles."
        )
    figure.caption += table.caption()
    figure.description += table.described()


def draw_accuracies(axes: Axes, theme: Theme, table: Shown, *, room: float) -> None:
    """One line down the y axis for each configuration; a dotted one across them at the baseline's mean."""
    for place, each in enumerate(table.configurations):
        summary = each.summary
        marks.runs_and_mean(
            axes, theme, place, each.accuracies, summary.mean, summary.interval, sideways=True
        )
    if (baseline := _baseline(table)) is not None:
        axes.axvline(baseline, color=theme.muted, linestyle="dotted", linewidth=1, zorder=1)
    set_axis(axes, "x", ACCURACY, accuracies_in_view(table), room=room)


def _baseline(table: Shown) -> float | None:
    """The mean of the configuration that is also the study's baseline."""
    for each in table.configurations:
        names = str(each.rows.iloc[0].get("names", "")).split(",")
        if each.name.split("_")[-1] == "baseline" or "baseline" in {name.strip() for name in names}:
            return each.summary.mean
    return None


def _distinct(table: Shown) -> list[str]:
    """Labels; those of two configurations have the experiment's name in them."""
    labels = [each.label for each in table.configurations]
    return [
        short(each.label) if labels.count(each.label) == 1 else short(f"{each.name}: {each.label}")
        for each in table.configurations
    ]
