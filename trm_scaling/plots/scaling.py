"""Accuracy against one quantity, with its law: size, recursion, data, supervision steps.

Every function takes a table of runs (`results.results_table`, an export of Weights & Biases, or any frame
with the columns that it draws), writes the figure where it is given a path, and returns it.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from trm_scaling.analysis import Fit, SeedSummary
from trm_scaling.plots import marks, style
from trm_scaling.plots.accuracy import (
    ALONE,
    BESIDE,
    accuracies_in_view,
    draw_accuracy,
    fitted,
    law_said,
    varies,
)
from trm_scaling.plots.by_step import draw_accuracy_by_step
from trm_scaling.plots.configurations import Shown, shown
from trm_scaling.plots.drawing import drawing, letter, page_width, panels
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.measures import known, values_of
from trm_scaling.plots.quantity import ACCURACY, quantity_of
from trm_scaling.plots.rows import rows_of_family
from trm_scaling.plots.style import Theme, ThemeName
from trm_scaling.plots.ticks import set_axis


def plot_model_size_scaling(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    fit: Fit | None = None,
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """exp01: accuracy against parameters with the law, and against training compute.

    `fit` and `seeds` are records that were made before; what is not given is made. Raises UserError when
    the table lacks `params` or `test_accuracy`, or nothing in it can be drawn.
    """
    return law_figure(results, path, "exp01", "Model size", "params", theme, fit, seeds)


def plot_l_cycles_scaling(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    fit: Fit | None = None,
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """exp02a: accuracy against latent updates a cycle. Arguments as `plot_model_size_scaling`."""
    return law_figure(results, path, "exp02a", "Latent recursion", "L_cycles", theme, fit, seeds)


def plot_h_cycles_scaling(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    fit: Fit | None = None,
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """exp02b: accuracy against cycles a supervision step. Arguments as `plot_model_size_scaling`."""
    return law_figure(results, path, "exp02b", "Reasoning cycles", "H_cycles", theme, fit, seeds)


def plot_data_scaling(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    fit: Fit | None = None,
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """exp04a: accuracy against distinct training puzzles. Arguments as `plot_model_size_scaling`."""
    return law_figure(results, path, "exp04a", "Training puzzles", "train_size", theme, fit, seeds)


def plot_augmentation_scaling(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    fit: Fit | None = None,
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """exp04b: accuracy against augmentations of each puzzle. Arguments as `plot_model_size_scaling`."""
    return law_figure(results, path, "exp04b", "Augmentation", "num_aug", theme, fit, seeds)


def plot_supervision_steps(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    fit: Fit | None = None,
    seeds: Sequence[SeedSummary] | None = None,
    by_step: pd.DataFrame | None = None,
) -> StudyFigure:
    """exp05: accuracy against supervision steps, and after each of them.

    `by_step` is `results.curves.accuracy_by_step` of the same runs; without it the second panel shows
    what an answer costs. Other arguments as `plot_model_size_scaling`.
    """
    key, axis = "exp05", "halt_max_steps"
    if by_step is None:
        return law_figure(results, path, key, "Supervision steps", axis, theme, fit, seeds, "inference_flops")
    table = shown(rows_of_family(results, key), axis=axis, seeds=seeds)
    fit, doubt = fitted(table, axis, fit)
    with drawing("Supervision steps", path, theme) as figure:
        left, right = panels(figure, 2)
        draw_accuracy(left, figure.theme, table, quantity_of(axis), fit, room=BESIDE)
        draw_accuracy_by_step(
            right, figure.theme, by_step, {each.name: f"{each.x:g}" for each in table.configurations}
        )
        right.legend(title="Steps allowed", title_fontsize=style.SMALL)
        letter(left, right, "Trained and tested with", "After each step")
        _say(figure, table, fit, doubt)
    return figure


def law_figure(
    results: pd.DataFrame,
    path: str | Path | None,
    key: str,
    title: str,
    axis: str,
    theme: ThemeName,
    fit: Fit | None,
    seeds: Sequence[SeedSummary] | None,
    cost: str = "training_flops",
) -> StudyFigure:
    """Accuracy of the family `key` against the column `axis`, with its law, and against the column `cost`."""
    table = shown(rows_of_family(results, key), axis=axis, seeds=seeds)
    fit, doubt = fitted(table, axis, fit)
    costs = known(table, cost) and varies(table, cost)
    with drawing(title, path, theme, width=page_width(costs)) as figure:
        left, *others = panels(figure, 2 if costs else 1)
        draw_accuracy(left, figure.theme, table, quantity_of(axis), fit, room=BESIDE if costs else ALONE)
        for right in others:
            _draw_against_cost(right, figure.theme, table, axis, cost)
            letter(left, right)
        _say(figure, table, fit, doubt)
    return figure


def _draw_against_cost(axes: Axes, theme: Theme, table: Shown, axis: str, cost: str) -> None:
    """The same accuracies over what they cost, each with the value of `axis` beside it."""
    x = quantity_of(cost)
    places = []
    for each in table.configurations:
        costs = values_of(each.rows, cost)
        if not costs.size:
            continue
        at = float(costs.mean())
        places.append(at)
        marks.runs_and_mean(axes, theme, at, each.accuracies, each.summary.mean, each.summary.interval)
        marks.beside(axes, theme, at, each.summary.mean, quantity_of(axis).written(each.x))
    # Room for the last label.
    set_axis(axes, "x", x, [*places, max(places) * (max(places) / min(places)) ** 0.08], room=BESIDE)
    set_axis(axes, "y", ACCURACY, accuracies_in_view(table))


def _say(figure: StudyFigure, table: Shown, fit: Fit | None, doubt: str) -> None:
    figure.finding, *more = law_said(fit, doubt)
    figure.caption += [*table.caption(), *more]
    figure.description += table.described()
