"""The panel that most figures have: accuracy over one quantity, with its law."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from trm_scaling.analysis import Fit, fit_accuracy
from trm_scaling.errors import UserError
from trm_scaling.plots import marks
from trm_scaling.plots.configurations import Shown
from trm_scaling.plots.quantity import ACCURACY, Quantity
from trm_scaling.plots.style import Theme
from trm_scaling.plots.ticks import set_axis

ALONE, BESIDE = 3.4, 2.4
"""Inches: the length of an x axis that is alone in its figure, and of one with another beside it."""
_BAND_PLACES = 25
"""Where a law that is fitted here is asked for its interval."""


def draw_accuracy(
    axes: Axes, theme: Theme, table: Shown, x: Quantity, fit: Fit | None, *, room: float = ALONE
) -> None:
    """Runs, means and the law, over `x`, of which every tried value has a tick."""
    places = [each.x for each in table.configurations]
    for each in table.configurations:
        marks.runs_and_mean(axes, theme, each.x, each.accuracies, each.summary.mean, each.summary.interval)
    if fit is not None:
        marks.law(axes, theme, fit, min(places), max(places))
    set_axis(axes, "x", x, places, tried=True, room=room)
    set_axis(axes, "y", ACCURACY, accuracies_in_view(table))


def accuracies_in_view(table: Shown) -> np.ndarray:
    """All runs, and the ends of intervals as far as they are near them."""
    runs = np.concatenate([each.accuracies for each in table.configurations])
    low, high = runs.min() - 0.1, runs.max() + 0.1
    intervals = [each.summary.interval for each in table.configurations]
    ends = [end for interval in intervals if interval is not None for end in interval.ends]
    return np.concatenate([runs, np.clip(ends, max(low, 0), min(high, 1))])


def fitted(table: Shown, axis: str, fit: Fit | None) -> tuple[Fit | None, str]:
    """The law, or why there is none."""
    if fit is not None:
        return fit, ""
    try:
        runs = table.runs(axis)
        return fit_accuracy(runs, predict=np.geomspace(runs.x.min(), runs.x.max(), _BAND_PLACES).tolist()), ""
    except UserError as error:
        return None, str(error)


def law_said(fit: Fit | None, doubt: str) -> list[str]:
    if fit is None:
        return [f"No law is fitted: {doubt}."]
    return [marks.law_in_words(fit), fit.verdict.reason]


def varies(table: Shown, column: str | None = None) -> bool:
    if column is None:
        return len({each.x for each in table.configurations}) > 1
    values = pd.to_numeric(table.table[column], errors="coerce")
    return bool(values.max() > 1.02 * values.min())
