"""The kinds of file that Weights & Biases exports, each as runs with their raw values.

runs table   "Name","State","Created","lr","test/best/exact_rate",...    a row a run; text
chart        "Step","<run> - <metric>","<run> - <metric>__MIN",...       a column a run
API          name, summary, config: a row a run, dictionaries in cells, as `to_csv` or JSON
"""

import ast
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trm_scaling.config.fields import flattened
from trm_scaling.errors import UserError
from trm_scaling.results.csv_file import Sheet, read_sheet, refuse_repeats
from trm_scaling.results.frame import cells_of

NAME = "Name"
"""The key of a run's name, whatever the file called it."""

SEPARATOR = " - "
"""Between run and metric in a chart's header. Names of runs may contain it, metrics do not."""

_ENVELOPE = ("__MIN", "__MAX")
_NAMES = (NAME, "name", "run", "run_name", "Run", "display_name")
_GROUPS = ("config", "summary")
"""Columns of dictionaries in what the API gives. The summary counts where both have a key."""

_GROUP_OF_RUNS = re.compile(r"[\w./-]+: \S.*")
"""What a chart calls the mean of a group: `Group: wide`, `arch.hidden_size: 512`."""

_API_NAMES = {"state": "State", "tags": "Tags", "group": "Group", "created_at": "Created", "id": "ID"}
_NOTHING = frozenset({"", "-"})
"""What a runs table shows where there is nothing (`-` in Notes)."""


@dataclass
class RawRun:
    """One run of one file."""

    values: dict[str, Any]
    """By W&B's own keys, dotted; text from a runs table, values from elsewhere. Has `NAME`."""
    file: Path
    kind: Literal["table", "chart", "api"]
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Metric -> (step, value), of a chart."""

    @property
    def name(self) -> str:
        return str(self.values[NAME])


def read_runs(path: Path) -> list[RawRun]:
    """The runs in one file. Raises UserError when it is damaged or no export that is known."""
    if path.suffix.lower() == ".json":
        return _api(_json_rows(path), path)
    sheet = read_sheet(path)
    return runs_of_sheet(sheet, path)


def runs_of_sheet(sheet: Sheet, path: Path) -> list[RawRun]:
    """The runs in a CSV file that was read already. Raises UserError when it is no known export."""
    if _is_chart(sheet.header):
        return _chart(sheet, path)
    refuse_repeats(sheet.header, path)
    own = _own_name(sheet.header)
    if own is None:
        raise UserError(
            f"{path} is no export of Weights & Biases that is known: its columns are "
            f"{', '.join(repr(name) for name in sheet.header[:8])}. A runs table has a column Name (what "
            "trm results --csv writes, experiment), a chart columns '<run> - <metric>', and what the API "
            "gives has name, summary and config; export the runs again with their names"
        )
    rows = [dict(zip(sheet.header, row, strict=True)) for row in sheet.rows]
    if any(group in sheet.header for group in _GROUPS):
        return _api([{key: text for key, text in row.items() if key and text} for row in rows], path)
    return [
        RawRun({NAME: row[own], **_told(row, but=own)}, path, "table")
        for row in rows
        if any(text not in _NOTHING for text in row.values())
    ]


def _own_name(header: Sequence[str]) -> str | None:
    return next((name for name in _NAMES if name in header), None)


def _told(row: Mapping[str, str], but: str) -> dict[str, str]:
    # An index that pandas wrote has no name.
    return {key: text for key, text in row.items() if key and key != but and text not in _NOTHING}


def _is_chart(header: Sequence[str]) -> bool:
    x, *columns = header
    return SEPARATOR not in x and bool(columns) and all(SEPARATOR in column for column in columns)


def _chart(sheet: Sheet, path: Path) -> list[RawRun]:
    columns = [cells_of([row[index] or None for row in sheet.rows]) for index in range(len(sheet.header))]
    runs: list[RawRun] = []
    # Two runs of one name are two columns of one header, each a run of its own: that of the nth column of
    # a header is the nth run of the name.
    of_name: dict[str, list[RawRun]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for header, column in zip(sheet.header[1:], columns[1:], strict=True):
        if header.endswith(_ENVELOPE):
            continue
        name, _, metric = header.rpartition(SEPARATOR)
        if _GROUP_OF_RUNS.fullmatch(name):
            raise UserError(
                f"{path} is a chart of groups: {name!r} is the mean of several runs, and no run. Switch "
                "the grouping off and export the chart again, or export the runs table"
            )
        if seen[header] == len(of_name[name]):
            of_name[name].append(RawRun({NAME: name}, path, "chart"))
            runs.append(of_name[name][-1])
        run = of_name[name][seen[header]]
        seen[header] += 1
        points = [
            (float(x), float(y))
            for x, y in zip(columns[0], column, strict=True)
            if isinstance(x, int | float) and isinstance(y, int | float)
        ]
        run.curves[metric] = points
        if points:
            last_x, run.values[metric] = points[-1]
            run.values[sheet.header[0]] = last_x
    return runs


def _json_rows(path: Path) -> list[dict[str, Any]]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON: {error}; export it again") from None
    if isinstance(values, dict) and all(isinstance(column, dict | list) for column in values.values()):
        values = list(_transposed(values))
    if not isinstance(values, list) or not all(isinstance(row, dict) for row in values):
        raise UserError(f"{path} is no list of runs; write it with DataFrame.to_json(orient='records')")
    return values


def _transposed(columns: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of what pandas writes by default: column -> (index -> cell), or lists."""
    cells = {
        name: dict(enumerate(column)) if isinstance(column, list) else column
        for name, column in columns.items()
    }
    for index in dict.fromkeys(index for column in cells.values() for index in column):
        yield {name: column.get(index) for name, column in cells.items()}


def _dictionary(text: str, path: Path, number: int, key: str) -> Any:
    """A dictionary as JSON or Python writes it."""
    try:
        return literal_of(text) if text else None
    except ValueError as error:
        raise UserError(f"{path}, row {number}, column {key}: {error}; export it again as JSON") from None


def _unwrapped(value: Any) -> Any:
    """What W&B's files and its server write as {"desc": ..., "value": VALUE}."""
    is_wrapped = isinstance(value, Mapping) and "value" in value and value.keys() <= {"desc", "value"}
    return value["value"] if is_wrapped else value


def _api(rows: Sequence[Mapping[str, Any]], path: Path) -> list[RawRun]:
    runs = []
    for number, row in enumerate(rows, start=1):
        own = _own_name(list(row))
        if own is None or row[own] is None:
            raise UserError(f"{path}, row {number}: the run has no name; export the runs with their names")
        values: dict[str, Any] = {NAME: str(row[own])}
        for key, value in row.items():
            if key in _GROUPS and isinstance(value, str):
                value = _dictionary(value, path, number, key)
            if key in _GROUPS and isinstance(value, Mapping):
                flat = flattened({name: _unwrapped(each) for name, each in value.items()})
                values |= {name: each for name, each in flat.items() if not name.startswith("_wandb")}
            elif key in _GROUPS and value is not None:
                raise UserError(f"{path}, row {number}, column {key}: {value!r:.60} is no dictionary")
            elif key not in (own, *_GROUPS):
                values[_API_NAMES.get(key, key)] = (
                    ", ".join(map(str, value)) if isinstance(value, list) else value
                )
        runs.append(RawRun({key: value for key, value in values.items() if value is not None}, path, "api"))
    return runs


_CONSTANTS = {
    **{"None": None, "null": None, "True": True, "true": True, "False": False, "false": False},
    **{"nan": math.nan, "NaN": math.nan, "inf": math.inf, "Infinity": math.inf},
}


def literal_of(text: str) -> Any:
    """The value that `text` spells: dictionaries, lists, numbers, text, and the names that print for none
    and NaN in Python or JSON.

    Raises ValueError for anything else; a call or an attribute is never evaluated.
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r:.80} is no dictionary: {type(error).__name__}") from None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value) if isinstance(value, str | int | float | bool | None):
            return value
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = _value(operand)
            if isinstance(number, int | float):
                return -number if isinstance(sign, ast.USub) else number
        case ast.Dict(keys=keys, values=values):
            return {
                str(_value(key)): _value(value)
                for key, value in zip(keys, values, strict=True)
                if key is not None
            }
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value(element) for element in elements]
    raise ValueError(f"{ast.unparse(node)!r:.80} is no plain value")
