"""Accuracy against both kinds of recursion at once."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from trm_scaling.analysis import Fit
from trm_scaling.errors import UserError
from trm_scaling.plots.accuracy import ALONE, BESIDE, draw_accuracy, fitted, law_said, varies
from trm_scaling.plots.configurations import Configuration, Shown, shown
from trm_scaling.plots.drawing import drawing, page_width, panels
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.quantity import quantity_of
from trm_scaling.plots.rows import rows_of_family
from trm_scaling.plots.style import ThemeName


def plot_depth_scaling(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    fits: Sequence[Fit | None] = (None, None),
) -> StudyFigure:
    """exp02a and exp02b: accuracy against L_cycles, and against H_cycles, each where it varies.

    Of runs that all recurse to one depth, the figure says so. `fits` are the laws of the two, made
    before. Raises UserError when the table has neither column, or nothing in it can be drawn.
    """
    axes_of = [
        (axis, rows_of_family(results, key), fit)
        for axis, key, fit in zip(("L_cycles", "H_cycles"), ("exp02a", "exp02b"), fits, strict=True)
    ]
    present = [(shown(rows, axis=axis), axis, fit) for axis, rows, fit in axes_of if axis in rows]
    if not present:
        raise UserError(
            "the table has neither a column 'L_cycles' nor 'H_cycles', so it says nothing of depth"
        )
    varying = [each for each in present if varies(each[0])]
    if not varying:
        return _constant_depth(present, path, theme)
    with drawing("Recursion depth", path, theme, width=page_width(len(varying) > 1)) as figure:
        drawn = panels(figure, len(varying))
        for axes, (table, axis, fit) in zip(drawn, varying, strict=True):
            found, doubt = fitted(table, axis, fit)
            draw_accuracy(axes, figure.theme, table, quantity_of(axis), found, room=BESIDE)
            if len(varying) > 1:
                axes.set_title(axis)
            law, *reason = law_said(found, doubt)
            figure.finding += f"{axis}: {law} "
            said = [each for each in table.caption() if each not in figure.caption]
            figure.caption += [*said, *(f"{axis}: {each}" for each in reason)]
            figure.description += [f"{axis} {each.x:g}, {text}" for each, text in _each(table)]
        steady = [axis for table, axis, _ in present if not varies(table)]
        if steady:
            figure.caption.append(f"{' and '.join(steady)} does not vary in these runs.")
    return figure


def _constant_depth(
    present: Sequence[tuple[Shown, str, Fit | None]], path: str | Path | None, theme: ThemeName
) -> StudyFigure:
    table = present[0][0]
    with drawing("Recursion depth", path, theme, width=page_width(False)) as figure:
        (axes,) = panels(figure, 1)
        draw_accuracy(axes, figure.theme, table, quantity_of(present[0][1]), None, room=ALONE)
        depths = " and ".join(f"{axis} {each.configurations[0].x:g}" for each, axis, _ in present)
        figure.finding = f"Depth does not vary in these runs: all have {depths}."
        figure.caption += [*table.caption(), "exp02a varies L_cycles and exp02b H_cycles."]
        figure.description += table.described()
    return figure


def _each(table: Shown) -> list[tuple[Configuration, str]]:
    return list(zip(table.configurations, table.described(), strict=True))
