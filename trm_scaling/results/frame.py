"""Rows of cells as a pandas frame, its columns of the kinds that `columns.py` says."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from trm_scaling.results.columns import Kind, columns

_LARGEST_COUNT = 2**53
"""Whole numbers up to here are themselves in float64, which a column with a missing cell is held in."""


def frame_of(rows: Sequence[dict[str, Any]], extra: Iterable[str] = ()) -> pd.DataFrame:
    """All documented columns, in order, and then the columns `extra`, whose kinds are those of their cells.

    A cell that a row lacks, or that is None, is missing.
    """
    known = columns()
    series = {name: series_of([row.get(name) for row in rows], column.kind) for name, column in known.items()}
    # The one text that is never missing: a run without overrides has none.
    series["overrides"] = series["overrides"].fillna("")
    for name in extra:
        cells = [row.get(name) for row in rows]
        series[name] = series_of(cells, kind_of(cells))
    return pd.DataFrame(series)


def series_of(cells: Sequence[Any], kind: Kind) -> pd.Series:
    """Cells of one kind, None where one is missing.

    Whole numbers are int64, or float64 when one is missing; flags are bool, or objects then.
    """
    complete = all(cell is not None for cell in cells)
    match kind:
        case "text":
            return pd.Series(cells, dtype="str")
        case "count":
            return pd.Series(cells, dtype="int64" if complete and cells else "float64")
        case "number":
            return pd.Series(cells, dtype="float64")
        case "flag":
            return pd.Series(cells, dtype="bool" if complete and cells else "object")


def kind_of(cells: Iterable[Any]) -> Kind:
    """The narrowest kind that holds all cells that are there."""
    there = [cell for cell in cells if cell is not None]
    if there and all(isinstance(cell, bool) for cell in there):
        return "flag"
    if there and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in there):
        return "count" if all(isinstance(cell, int) for cell in there) else "number"
    return "text"


def is_of(value: Any, kind: Kind) -> bool:
    """Whether a column of `kind` can hold `value`. A flag is no number."""
    match kind:
        case "text":
            return isinstance(value, str)
        case "flag":
            return isinstance(value, bool)
        case "count":
            return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_COUNT
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
