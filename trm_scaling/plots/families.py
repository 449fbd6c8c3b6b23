"""The figure of a family of experiments: accuracy over what it varies, and what else it measures.

One function draws every family from its description (`Drawn`). Those with a name of their own are for
notebooks: each takes a table of runs (`results.results_table`, an export of Weights & Biases, or any frame
with the columns that it draws), writes the figure where it is given a path, and returns it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes

from trm_scaling.analysis import CriticalBatch, Fit, SeedSummary, fit_accuracy, t_interval
from trm_scaling.errors import UserError
from trm_scaling.plots import marks, style
from trm_scaling.plots.configurations import Configuration, Shown, frame_of, rows_of_family, shown
from trm_scaling.plots.figure import StudyFigure, drawing, panels, short
from trm_scaling.plots.quantity import ACCURACY, Quantity, quantity_of, set_axis
from trm_scaling.plots.style import Theme, ThemeName
from trm_scaling.results.format import bracket, compact, percent
from trm_scaling.results.table import names_of

_LINE, _REST = 0.27, 0.75
"""Inches of a configuration's line, and of the axis below them."""
_BAND_PLACES = 25
"""Where a fit that is made here is asked for its interval."""


@dataclass(frozen=True)
class Drawn:
    """What a family's figure needs to know of the family."""

    title: str
    axis: str = "experiment"
    """The column that the family varies; `experiment` where it varies no one number."""
    measure: str = ""
    """The column that is shown beside accuracy, if any."""
    law: bool = False
    """Whether a law of accuracy over the axis belongs to it."""


def family_figure(
    rows: pd.DataFrame,
    family: Drawn,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    fit: Fit | None = None,
    seeds: Sequence[SeedSummary] | None = None,
    labels: Mapping[str, str] | None = None,
) -> StudyFigure:
    """Accuracy of the configurations in `rows` over the family's axis, or one below the other without one.

    `fit` and `seeds` are records that were made before; a law that belongs to the family and is not given is
    fitted. `labels`: experiment -> its label. Raises UserError when the table lacks `test_accuracy` or the
    axis, or nothing in it can be drawn.
    """
    axis = None if family.axis == "experiment" else family.axis
    table = shown(rows, axis=axis, seeds=seeds, labels=labels)
    measured = [family.measure] if family.measure and table.has(family.measure) else []
    width = style.DOUBLE_COLUMN if axis is None or measured else style.SINGLE_COLUMN * 1.5
    height = style.PANEL_HEIGHT if axis else _REST + _LINE * len(table.configurations)
    with drawing(family.title, path, theme, width=width, height=height) as figure:
        left, *rest = panels(figure, [1.7, *([1.0] * len(measured))], share_y=axis is None)
        said: list[str] = []
        if axis is not None:
            law, doubt = _law(table, axis, fit) if family.law and varies(table) else (None, "")
            draw_accuracy(left, figure.theme, table, quantity_of(axis), law)
            said = (
                [marks.law_in_words(law), law.verdict.reason]
                if law
                else [f"No fit: {doubt}."]
                if doubt
                else []
            )
        else:
            _draw_rows(left, figure.theme, table)
        for axes, column in zip(rest, measured, strict=True):
            _draw_measure(axes, figure.theme, table, quantity_of(column), axis)
        figure.finding = _highest(table)
        figure.caption += [*table.caption(), *said]
        figure.description += table.described()
    return figure


def draw_accuracy(axes: Axes, theme: Theme, table: Shown, x: Quantity, fit: Fit | None) -> None:
    """Runs, means and the fit over `x`. The axis holds every interval whole."""
    places = [each.x for each in table.configurations]
    for each in table.configurations:
        _mark(axes, theme, each, each.x, sideways=False)
    if fit is not None:
        marks.law(axes, theme, fit, min(places), max(places))
    set_axis(axes, "x", x, places, tried=True)
    set_axis(axes, "y", ACCURACY, _in_view(table))


def varies(table: Shown) -> bool:
    """Whether the configurations have different values of the axis."""
    return len({each.x for each in table.configurations}) > 1


def _mark(axes: Axes, theme: Theme, each: Configuration, at: float, *, sideways: bool) -> None:
    summary = each.summary
    marks.runs_and_mean(
        axes,
        theme,
        at,
        each.accuracies,
        summary.mean,
        summary.interval,
        unaveraged=each.unaveraged,
        sideways=sideways,
    )


def _draw_rows(axes: Axes, theme: Theme, table: Shown) -> None:
    """One line down the y axis for each configuration; a dotted line at the baseline's mean."""
    for place, each in enumerate(table.configurations):
        _mark(axes, theme, each, place, sideways=True)
        if each.name.endswith("_baseline") or "baseline" in names_of(each.rows)[0]:
            axes.axvline(each.summary.mean, color=theme.muted, linestyle="dotted", linewidth=1, zorder=1)
    set_axis(axes, "x", ACCURACY, _in_view(table))
    marks.categories(axes, [short(each.label) for each in table.configurations])


def _draw_measure(axes: Axes, theme: Theme, table: Shown, quantity: Quantity, axis: str | None) -> None:
    """Means of a column with t-intervals over seeds, from zero."""
    for place, (each, values) in enumerate(
        zip(table.configurations, table.values(quantity.column), strict=True)
    ):
        if values.size:
            at, mean, interval = each.x if axis else place, float(values.mean()), t_interval(values)
            marks.runs_and_mean(axes, theme, at, values, mean, interval, sideways=axis is None, marker="s")
    every = np.concatenate(table.values(quantity.column))
    set_axis(axes, "x" if axis is None else "y", quantity, every, from_zero=True)
    if axis is None:
        axes.grid(axis="y", visible=False)
        axes.tick_params(labelleft=False)
    else:
        set_axis(axes, "x", quantity_of(axis), [each.x for each in table.configurations], tried=True)


def _in_view(table: Shown) -> np.ndarray:
    """All runs, all ends of intervals, all means without averaging."""
    ends = [
        end for each in table.configurations if each.summary.interval for end in each.summary.interval.ends
    ]
    also = [each.unaveraged for each in table.configurations if each.unaveraged is not None]
    runs = np.concatenate([each.accuracies for each in table.configurations])
    return np.concatenate([runs, np.clip(ends, 0, 1), also])


def _law(table: Shown, axis: str, fit: Fit | None) -> tuple[Fit | None, str]:
    """The law, or why there is none."""
    if fit is not None:
        return fit, ""
    try:
        runs = table.runs(axis)
        places = np.geomspace(runs.x.min(), runs.x.max(), _BAND_PLACES)
        return fit_accuracy(runs, predict=places.tolist()), ""
    except UserError as error:
        return None, str(error)


def _highest(table: Shown) -> str:
    best = max(table.configurations, key=lambda each: each.summary.mean)
    if len(table.configurations) < 2:
        return ""
    interval = best.summary.interval
    span = f" {bracket(*(f'{100 * end:.1f}' for end in interval.ends))}" if interval else ""
    which = short(best.label)
    return f"Highest mean of {len(table.configurations)}: {which}, {percent(best.summary.mean)}{span}."


def _plot(name: str, key: str, family: Drawn) -> Callable[..., StudyFigure]:
    """The function `name` that draws the family whose experiments begin with `key`."""

    def plot(
        results: pd.DataFrame,
        path: str | Path | None = None,
        *,
        theme: ThemeName = "light",
        fit: Fit | None = None,
        seeds: Sequence[SeedSummary] | None = None,
    ) -> StudyFigure:
        rows = rows_of_family(results, key)
        return family_figure(rows, family, path, theme=theme, fit=fit, seeds=seeds)

    over = "by configuration" if family.axis == "experiment" else f"over `{family.axis}`"
    beside = f", with `{family.measure}`" if family.measure else ""
    plot.__doc__ = (
        f"{key}: test accuracy {over}{beside}. `fit` and `seeds` are records that were made before. Raises\n"
        "    UserError when the table lacks `test_accuracy` or the axis, or nothing in it can be drawn."
    )
    plot.__name__ = plot.__qualname__ = name
    return plot


plot_model_size_scaling = _plot("plot_model_size_scaling", "exp01", Drawn("Model size", "params", law=True))
plot_l_cycles_scaling = _plot("plot_l_cycles_scaling", "exp02a", Drawn("L_cycles", "L_cycles", law=True))
plot_h_cycles_scaling = _plot("plot_h_cycles_scaling", "exp02b", Drawn("H_cycles", "H_cycles", law=True))
plot_depth_recursion_tradeoff = _plot(
    "plot_depth_recursion_tradeoff", "exp03", Drawn("Depth against recursion", "L_layers", "training_flops")
)
plot_data_scaling = _plot("plot_data_scaling", "exp04a", Drawn("Training puzzles", "train_size", law=True))
plot_augmentation_scaling = _plot(
    "plot_augmentation_scaling", "exp04b", Drawn("Augmentations", "num_aug", law=True)
)
plot_supervision_steps = _plot(
    "plot_supervision_steps", "exp05", Drawn("Supervision steps", "halt_max_steps", law=True)
)
plot_batch_size_scaling = _plot(
    "plot_batch_size_scaling", "exp06", Drawn("Batch size", "global_batch_size", "throughput")
)
plot_precision = _plot("plot_precision", "exp07", Drawn("Precision", measure="throughput"))
plot_ema = _plot("plot_ema", "exp08", Drawn("Moving average of the weights"))
plot_optimizers = _plot("plot_optimizers", "exp09", Drawn("Optimizer"))
plot_learning_rates = _plot("plot_learning_rates", "exp10", Drawn("Learning rate"))
plot_curriculum = _plot(
    "plot_curriculum", "contrib01", Drawn("Curriculum recursion", measure="training_flops")
)
plot_adaptive_halting = _plot(
    "plot_adaptive_halting", "contrib02", Drawn("Adaptive halting", measure="halting_mean_steps")
)


def plot_depth_scaling(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    fits: Sequence[Fit | None] = (None, None),
) -> StudyFigure:
    """exp02a and exp02b: accuracy over L_cycles, and over H_cycles, each where it varies.

    Of runs that all recurse to one depth, the figure says so. `fits` are the laws of the two, made
    before. Raises UserError when the table has neither column, or nothing in it can be drawn.
    """
    frame = frame_of(results)
    tables = {
        axis: (shown(rows_of_family(frame, key), axis=axis), fit)
        for axis, key, fit in zip(("L_cycles", "H_cycles"), ("exp02a", "exp02b"), fits, strict=True)
        if axis in frame
    }
    if not tables:
        raise UserError(
            "the table has neither a column 'L_cycles' nor 'H_cycles', so it says nothing of depth"
        )
    drawn = {axis: each for axis, each in tables.items() if varies(each[0])} or dict(
        [next(iter(tables.items()))]
    )
    width = style.DOUBLE_COLUMN if len(drawn) > 1 else style.SINGLE_COLUMN * 1.5
    with drawing("Recursion depth", path, theme, width=width) as figure:
        for axes, (axis, (table, given)) in zip(
            panels(figure, [1.0] * len(drawn)), drawn.items(), strict=True
        ):
            fit, doubt = _law(table, axis, given) if varies(table) else (None, "")
            draw_accuracy(axes, figure.theme, table, quantity_of(axis), fit)
            figure.finding += f"{axis}: {marks.law_in_words(fit)} " if fit else ""
            figure.caption += [each for each in table.caption() if each not in figure.caption]
            figure.caption += [f"{axis}: {fit.verdict.reason if fit else doubt}"] if fit or doubt else []
            figure.description += table.described()
        if steady := [
            f"{axis} {each.configurations[0].x:g}" for axis, (each, _) in tables.items() if not varies(each)
        ]:
            figure.caption.append(f"The same in all runs: {' and '.join(steady)}.")
    return figure


def plot_critical_batch(
    critical: CriticalBatch,
    batch: Float[np.ndarray, " n"],
    steps: Float[np.ndarray, " n"],
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
) -> StudyFigure:
    """Training steps that n runs took to one accuracy, the fitted hyperbola and its critical batch size.

    Raises UserError when `batch` and `steps` differ in length or are not all positive.
    """
    if batch.shape != steps.shape or batch.size == 0 or min(batch.min(), steps.min()) <= 0:
        raise UserError("the batches and the steps must be positive numbers, as many of each, one at least")
    with drawing("Critical batch size", path, theme, width=style.SINGLE_COLUMN * 1.5) as figure:
        (axes,) = panels(figure)
        axes.scatter(batch, steps, s=16, color=figure.theme.data, alpha=0.6, gid=marks.RUN_ID, zorder=3)
        grid = np.geomspace(batch.min() / 1.2, batch.max() * 1.2, 100)
        line = "solid" if critical.verdict.word == "identified" else "dashed"
        law = critical.least_steps * (1 + critical.critical_batch / grid)
        axes.plot(grid, law, color=figure.theme.law, linestyle=line, gid=marks.LAW_ID, zorder=2)
        set_axis(axes, "x", quantity_of("global_batch_size"), batch, tried=True)
        set_axis(axes, "y", Quantity("steps", "Training steps to the target", "count", log=True), steps)
        low, high = axes.get_xlim()
        if low <= critical.critical_batch <= high:
            axes.axvline(critical.critical_batch, color=figure.theme.law, linewidth=0.8, linestyle="dotted")
        if critical.interval is not None:
            ends = np.clip(critical.interval.ends, low, high)
            axes.axvspan(*ends, color=figure.theme.law, alpha=0.12, linewidth=0, gid=marks.BAND_ID, zorder=1)
        size = compact(critical.critical_batch)
        figure.finding = f"Critical batch size {size} puzzles, {critical.verdict.word}."
        figure.caption += [
            f"steps = {compact(critical.least_steps)} (1 + {size} / batch) over {critical.runs} runs; "
            "shaded: the 95 % interval, as far as the axis goes.",
            critical.verdict.reason,
        ]
    return figure
