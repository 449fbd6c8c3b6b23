"""Rows of cells as a pandas frame, its columns of the kinds that `columns.py` says."""

import math
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trm_scaling.errors import UserError
from trm_scaling.results.columns import Column, Kind, columns

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
    """The narrowest kind that holds all cells that are there; whole numbers beyond int64 are text."""
    there = [cell for cell in cells if cell is not None]
    if there and all(isinstance(cell, bool) for cell in there):
        return "flag"
    if there and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in there):
        if any(isinstance(cell, int) and abs(cell) > LARGEST for cell in there):
            return "text"
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
            return isinstance(value, float) or (
                isinstance(value, int) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
            )


def checked_table(table: pd.DataFrame) -> pd.DataFrame:
    """`table`, from anywhere, with every documented column that it has of its kind; the others as they are.

    NaN and infinities are missing. Accuracies and other fractions lie within 0 and 1, and counts, times,
    memory, money and losses are not negative. Numbers in a column of text are text: `pandas.read_csv` makes
    numbers of hashes that have no letter. Raises UserError for a cell that breaks this, naming its column,
    its row's experiment and its value, and for two columns of one name.
    """
    if not table.columns.is_unique:
        twice = sorted({str(name) for name in table.columns[table.columns.duplicated()]})
        raise UserError(f"the table has two columns of one name: {', '.join(twice)}; remove one of each")
    known = columns()
    names = [str(name) for name in table["experiment"]] if "experiment" in table else []
    made: dict[Any, pd.Series] = {}
    for name, cells in table.items():
        column = known.get(name) if isinstance(name, str) else None
        if column is None:
            made[name] = cells.reset_index(drop=True)
            continue
        values = []
        for index, cell in enumerate(cells.tolist()):
            try:
                values.append(_checked(cell, column))
            except ValueError as error:
                of = f" of {names[index]}" if names else ""
                raise UserError(
                    f"column {name}, row {index + 1}{of}: {error}; mend the table, or leave that run out"
                ) from None
        made[name] = series_of(values, column.kind)
    return pd.DataFrame(made)


def _checked(cell: Any, column: Column) -> Any:
    """`cell` as a value of `column`, None where it is missing. Raises ValueError where it is none."""
    value: Any = cell.item() if isinstance(cell, np.generic) else cell
    if column.kind == "text" and isinstance(value, int | float) and value == value:
        value = f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)
    value = value_of(value, column.kind)
    if value is not None and column.kind in ("count", "number"):
        if column.unit == "fraction" and not 0 <= value <= 1:
            raise ValueError(f"{value:g} lies outside 0 to 1; give it as a fraction of 1, 0.92 for 92 %")
        if value < 0 and (column.kind == "count" or column.unit):
            raise ValueError(f"{value:g} is negative")
    return value


def value_of(cell: Any, kind: Kind) -> Any:
    """`cell`, text or a value, as a value of `kind`; None where it is missing or not finite.

    Raises ValueError where it is none.
    """
    if isinstance(cell, str) and kind != "text":
        cell = cell_of(cell.strip() or None, kind)
    elif kind == "count" and isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if pd.api.types.is_scalar(cell) and (pd.isna(cell) or cell in (math.inf, -math.inf)):
        return None
    if not is_of(cell, kind):
        raise ValueError(f"{cell!r:.40} is no {kind}")
    return cell


_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE)
_GROUPED = re.compile(
    r"[-+]?[1-9]\d{0,2}(?P<mark>[,.' \u2019\u00a0\u202f_])\d{3}(?P<more>((?P=mark)\d{3})*)(?P<end>\.\d+)?"
)
"""Digits in groups of three: 6,830,000 or 1 730 000."""
_FLAGS = {"true": True, "false": False}
LARGEST = 2**63 - 1
"""The largest whole number of an int64 column."""
_LONGEST = 400
"""Digits from which text is not turned into a number at all: Python refuses some thousands of them."""


def cell_of(text: str | None, kind: Kind) -> Any:
    """What `text` says in a column of `kind`; None where it is missing, NaN or infinite.

    `6,830,000` and `87.4%` are numbers where that is certain: `1,234` is a count, and another number may be
    1.234. Raises ValueError for text that says nothing of the kind.
    """
    if text is None or kind == "text":
        return text
    if kind in ("count", "number"):
        if kind == "number" and text.endswith("%") and _NUMBER.fullmatch(text[:-1].rstrip()):
            share = float(text[:-1])
            return share / 100 if math.isfinite(share) else None
        text = _ungrouped(text, is_count=kind == "count")
    if kind == "flag" and text.lower() in _FLAGS:
        return _FLAGS[text.lower()]
    if kind in ("count", "number") and _NUMBER.fullmatch(text):
        if kind == "count" and text.lstrip("+-").isdecimal():
            if _is_held(text):
                return int(text)
            raise ValueError(f"{text!r:.40} is too large a count")
        number = float(text)
        if math.isnan(number) or "inf" in text.lower():
            return None
        if math.isinf(number):
            raise ValueError(f"{text!r:.40} is larger than any {kind}")
        if kind == "number":
            return number
        if number.is_integer() and abs(number) <= LARGEST:
            return int(number)
    raise ValueError(f"{text!r:.80} is no {kind}")


def cells_of(texts: Sequence[str | None]) -> list[Any]:
    """What the cells of one column say, of the narrowest kind that suits all: flags, numbers, or text.

    Digits stay text where one cell is a larger number than its kind holds: rather a name than rounded.
    """
    there = [text for text in texts if text is not None]
    if there and all(text.lower() in _FLAGS for text in there):
        return [cell_of(text, "flag") for text in texts]
    # One cell that is grouped for certain tells what the others are.
    has_groups = any(_ungrouped(text, is_count=False) != text for text in there)
    plain = [_ungrouped(text, is_count=has_groups) for text in there]
    is_share = bool(there) and all(text.endswith("%") for text in there)
    if there and (is_share or all(_NUMBER.fullmatch(text) for text in plain)):
        whole = all(text.lstrip("+-").isdecimal() for text in plain)
        try:
            return [
                None
                if text is None
                else cell_of(_ungrouped(text, is_count=has_groups), "count" if whole else "number")
                for text in texts
            ]
        except ValueError:
            return list(texts)
    return list(texts)


def _ungrouped(text: str, *, is_count: bool) -> str:
    """`6,830,000` as `6830000`; unchanged what is not grouped, or may be a decimal fraction (`1,234`)."""
    found = _GROUPED.fullmatch(text)
    if found is None:
        return text
    mark, end = found["mark"], found["end"] or ""
    is_certain = found["more"] or (end and mark != ".") or mark not in ",." or (is_count and mark == ",")
    if not is_certain or (mark == "." and end):
        return text
    return text.removesuffix(end).replace(mark, "") + end


def _is_held(digits: str) -> bool:
    return len(digits) < _LONGEST and abs(int(digits)) <= LARGEST


def written(value: Any) -> str:
    """`value` so that `cell_of` reads it back; "" where it is missing."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return "" if math.isnan(value) else repr(value)
        case _:
            return str(value)
