"""The table of runs as a CSV file, and back without loss.

UTF-8, a header, missing cells empty, numbers with all their digits. Spreadsheets run a cell that begins
with one of = + - @, a tab or a line's end as a formula, and names of runs may come from anywhere: such
text is written with an apostrophe before it, which spreadsheets hide and `read_results` takes away again.
Text that begins with apostrophes and then such a character gets one more, so that nothing is lost.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_bytes
from trm_scaling.results.columns import Column, columns
from trm_scaling.results.frame import cell_of, cells_of, frame_of, written

_DANGEROUS = re.compile(r"'*[=+\-@\t\r\n]")
_PLAIN = re.compile(r"[^\s,\"]([^,\"\r\n]*[^\s,\"])?|")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_GUARDED = re.compile(r"''*[=+\-@\t\r\n]")


def write_results(table: pd.DataFrame, path: Path) -> None:
    """Write `table` to `path`, whole or not at all; missing folders are made.

    Raises UserError when the disk is full, read-only or forbidden.
    """
    columns_of_text = [
        [_quoted(_guarded(str(name))), *map(_quoted, _as_text(cells))] for name, cells in table.items()
    ]
    made = "".join(f"{','.join(line)}\n" for line in zip(*columns_of_text, strict=True))
    # JSON may hold halves of characters, which UTF-8 cannot: better seen as what they are than lost.
    write_bytes(path, made.encode("utf-8", errors="backslashreplace"))


def read_results(path: Path | str) -> pd.DataFrame:
    """The table that `write_results` wrote, its columns of the documented kinds.

    Columns that are not documented follow, of the kind that all their cells have. Raises UserError when
    the file is missing, empty, no CSV, or has no column `experiment`, and for a cell of another kind
    than its column.
    """
    sheet = read_sheet(Path(path))
    header = [_unguarded(name) for name in sheet.header]
    if "experiment" not in header:
        raise UserError(
            f"{path} is no table of runs: it has no column experiment, but {', '.join(header[:8])}; "
            "write one with trm results --csv, or read an export of Weights & Biases with trm results --wandb"
        )
    refuse_repeats(header, path)
    known = columns()
    typed: dict[str, list[Any]] = {}
    for index, name in enumerate(header):
        texts = [_unguarded(row[index]) if row[index] else None for row in sheet.rows]
        typed[name] = _column(texts, known[name], path) if name in known else cells_of(texts)
    rows = [dict(zip(typed, row, strict=True)) for row in zip(*typed.values(), strict=True)]
    return frame_of(rows, extra=[name for name in typed if name not in known])


def _column(texts: Sequence[str | None], column: Column, path: Path | str) -> list[Any]:
    """The cells of a documented column. Raises UserError with the number of those that say nothing of it."""
    cells: list[Any] = []
    broken: list[str] = []
    for number, text in enumerate(texts, start=1):
        try:
            cells.append(cell_of(text, column.kind))
        except ValueError as error:
            broken.append(f"{error} (row {number})")
    if broken:
        there = sum(text is not None for text in texts)
        raise UserError(
            f"{path}: column {column.name}: {broken[0]}, and {len(broken)} of its {there} cells cannot "
            "be read; write numbers as 6830000 and 0.874, and leave a cell empty that has no value"
        )
    return cells


class Sheet(NamedTuple):
    """A CSV file as it is written."""

    header: list[str]
    rows: list[list[str]]
    """As long as the header; "" where a cell is empty."""


def read_sheet(path: Path) -> Sheet:
    """The cells of a CSV file. Raises UserError when it is missing, empty, not UTF-8 or no CSV.

    Semicolons and tabs separate too, and decimal commas are read where a column shows that they are ones.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({error}); save it as CSV in UTF-8") from None
    if not text.strip():
        raise UserError(f"{path} is empty; export it again")
    # A summary that holds a table is longer than the reader's own limit of 128 kB, which is the process's.
    before = csv.field_size_limit(max(len(text), csv.field_size_limit()))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(text))
    try:
        lines = [line for line in reader if line]
    except csv.Error as error:
        raise UserError(f"{path} is no CSV file: {error}; export it again") from None
    finally:
        csv.field_size_limit(before)
    header, *rows = lines
    for number, row in enumerate(rows, start=1):
        if len(row) > len(header):
            raise UserError(
                f"{path}: row {number} has {len(row)} cells and the header {len(header)}; export it again"
            )
    full = [row + [""] * (len(header) - len(row)) for row in rows]
    columns_read = [_decimal_points(column) for column in zip(*full, strict=True)]
    return Sheet(header, [list(row) for row in zip(*columns_read, strict=True)])


def _delimiter(text: str) -> str:
    """Spreadsheets write semicolons where the comma is the decimal sign; some write tabs."""
    header = text.lstrip().splitlines()[0]
    return next((each for each in (",", ";", "\t") if each in header), ",")


def _decimal_points(column: Sequence[str]) -> Sequence[str]:
    """`0,874` as `0.874` where every cell of the column is such a number and one cannot be thousands."""
    there = [cell for cell in column if cell]
    is_decimal = any("," in cell and not _THOUSANDS.fullmatch(cell) for cell in there)
    if not is_decimal or not all(_DECIMAL_COMMA.fullmatch(cell) for cell in there):
        return column
    return [cell.replace(",", ".") for cell in column]


def refuse_repeats(header: Sequence[str], path: Path | str) -> None:
    """Raise UserError when two columns have one name."""
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise UserError(f"{path} has two columns of one name: {', '.join(twice)}; remove one of each")


def _as_text(cells: pd.Series) -> list[str]:
    column = columns().get(str(cells.name))
    values = cells.tolist()
    if column is not None and column.kind == "count":
        # A missing cell made floats of whole numbers.
        values = [int(each) if isinstance(each, float) and each.is_integer() else each for each in values]
    return [_guarded(each) if isinstance(each, str) else written(each) for each in values]


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _guarded(text: str) -> str:
    return f"'{text}" if _DANGEROUS.match(text) else text


def _unguarded(text: str) -> str:
    return text[1:] if _GUARDED.match(text) else text
