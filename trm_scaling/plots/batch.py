"""Accuracy and speed against the batch, and where larger batches stop saving steps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from trm_scaling.analysis import CriticalBatch, SeedSummary
from trm_scaling.errors import UserError
from trm_scaling.plots import marks
from trm_scaling.plots.accuracy import ALONE, BESIDE, draw_accuracy
from trm_scaling.plots.configurations import shown
from trm_scaling.plots.drawing import drawing, letter, page_width, panels
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.measures import draw_measure, known
from trm_scaling.plots.quantity import Quantity, compact, percent, quantity_of
from trm_scaling.plots.rows import rows_of_family
from trm_scaling.plots.style import ThemeName
from trm_scaling.plots.ticks import set_axis


def plot_batch_size_scaling(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    seeds: Sequence[SeedSummary] | None = None,
) -> StudyFigure:
    """exp06: accuracy at equal puzzle-steps against the batch, and throughput where it was measured.

    Raises UserError as `plot_model_size_scaling` does.
    """
    axis = "global_batch_size"
    table = shown(rows_of_family(results, "exp06"), axis=axis, seeds=seeds)
    with drawing("Batch size", path, theme, width=page_width(known(table, "throughput"))) as figure:
        if known(table, "throughput"):
            left, right = panels(figure, 2)
            draw_measure(right, figure.theme, table, quantity_of(axis), quantity_of("throughput"))
            letter(left, right, "Accuracy at equal puzzle-steps", "Speed of training")
        else:
            (left,) = panels(figure, 1)
        draw_accuracy(left, figure.theme, table, quantity_of(axis), None, room=BESIDE)
        best = max(table.configurations, key=lambda each: each.summary.mean)
        size, most = quantity_of(axis).written(best.x), percent(best.summary.mean)
        figure.finding = f"Batches of {size} solve most: {most} of puzzles."
        figure.caption += table.caption()
        figure.description += table.described()
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

    Raises UserError when `batch` and `steps` differ in length or hold what is not positive.
    """
    if batch.shape != steps.shape or batch.size == 0 or min(batch.min(), steps.min()) <= 0:
        raise UserError("the batches and the steps must be positive numbers, as many of each, one at least")
    x, y = (
        quantity_of("global_batch_size"),
        Quantity("steps", "Training steps to the target", "count", log=True),
    )
    with drawing("Critical batch size", path, theme, width=page_width(False)) as figure:
        (axes,) = panels(figure, 1)
        axes.scatter(
            batch, steps, s=16, color=figure.theme.data, alpha=0.6, linewidths=0, gid=marks.RUN_ID, zorder=3
        )
        grid = np.geomspace(batch.min() / 1.2, batch.max() * 1.2, 200)
        known = critical.verdict.word == "identified"
        line = "solid" if known else "dashed"
        law = critical.least_steps * (1 + critical.critical_batch / grid)
        axes.plot(grid, law, color=figure.theme.law, linestyle=line, gid=marks.LAW_ID, zorder=2)
        set_axis(axes, "x", x, batch, tried=True, room=ALONE)
        set_axis(axes, "y", y, steps)
        low, high = axes.get_xlim()
        if low <= critical.critical_batch <= high:
            axes.axvline(critical.critical_batch, color=figure.theme.law, linewidth=0.8, linestyle="dotted")
        if critical.interval is not None:
            ends = np.clip(critical.interval.ends, low, high)
            axes.axvspan(
                ends[0], ends[1], color=figure.theme.law, alpha=0.12, linewidth=0, gid=marks.BAND_ID, zorder=1
            )
        figure.finding = (
            f"Critical batch size {compact(critical.critical_batch)} puzzles, {critical.verdict.word}."
        )
        figure.caption += [
            f"steps = {compact(critical.least_steps)} (1 + {compact(critical.critical_batch)} / batch) over "
            f"{critical.runs} runs; shaded, the 95 % interval.",
            critical.verdict.reason,
        ]
    return figure
