"""What runs cost and how fast they were, beside their accuracy."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from trm_scaling.analysis import t_interval
from trm_scaling.plots import marks
from trm_scaling.plots.configurations import Shown
from trm_scaling.plots.quantity import Quantity
from trm_scaling.plots.style import Theme
from trm_scaling.plots.ticks import set_axis


def known(table: Shown, column: str) -> bool:
    """Whether any run has a value of `column`."""
    return column in table.table and bool(pd.to_numeric(table.table[column], errors="coerce").notna().any())


def values_of(rows: pd.DataFrame, column: str) -> np.ndarray:
    """(n,) the runs that have a value of `column`."""
    return pd.to_numeric(rows[column], errors="coerce").dropna().to_numpy(float)


def draw_measure(
    axes: Axes, theme: Theme, table: Shown, x: Quantity, y: Quantity, *, colour: str | None = None
) -> None:
    """The column of `y` over `x`, from zero: runs, and means with t-intervals over seeds."""
    for each in table.configurations:
        values = values_of(each.rows, y.column)
        if values.size:
            marks.runs_and_mean(
                axes,
                theme,
                each.x,
                values,
                float(values.mean()),
                t_interval(values),
                colour=colour,
                marker="s",
            )
    set_axis(axes, "x", x, [each.x for each in table.configurations], tried=True, room=2.4)
    set_axis(axes, "y", y, values_of(table.table, y.column), from_zero=not y.log)


def draw_measure_sideways(axes: Axes, theme: Theme, table: Shown, x: Quantity, *, room: float) -> None:
    """The column of `x` for each configuration down the y axis."""
    for place, each in enumerate(table.configurations):
        values = values_of(each.rows, x.column)
        if values.size:
            mean = float(values.mean())
            marks.runs_and_mean(
                axes, theme, place, values, mean, t_interval(values), sideways=True, marker="s"
            )
    set_axis(axes, "x", x, values_of(table.table, x.column), from_zero=True, room=room)
