"""Files of Weights & Biases to one table: which runs of several files are one, and what each is called."""

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from trm_scaling.errors import UserError
from trm_scaling.experiments import load_catalogue
from trm_scaling.io.study import Study
from trm_scaling.results.columns import columns, science_columns
from trm_scaling.results.csv_file import read_results, read_sheet
from trm_scaling.results.frame import LARGEST, cells_of, frame_of
from trm_scaling.results.row import Row
from trm_scaling.results.wandb_export.files import NAME, RawRun, read_runs, runs_of_sheet
from trm_scaling.results.wandb_export.naming import named, seed_in_name

_SAME = ("identity", "profile", "seed", "Created", "ID", "id")
"""Keys in which two rows of one run agree."""

_NOT_SCIENCE = frozenset({"folder", "profile", "seed"})


def parse_wandb_export(source: Path | str, study: Study | None = None) -> pd.DataFrame:
    """The runs that Weights & Biases exported to `source`: a CSV or JSON file, or a folder of several.

    Takes a runs table, charts, what the API gives (a frame of dictionaries as `to_csv` writes it, or as
    JSON), and tables that `trm results --csv` wrote. The documented columns come first and are missing
    where the export has nothing for them; all others follow under W&B's own names. Several files are one
    table: what they say of one run is put together. Runs of one name whose configurations differ are told
    apart by what differs, in brackets, as in `results_table`. `study` says which of its experiments a run
    is, by its identity where the export has one, else by its name.

    Raises UserError when there is nothing to read, and for a file that is damaged or no such export.
    """
    source = Path(source)
    files = _files(source)
    raw: list[RawRun] = []
    own: list[pd.DataFrame] = []
    for file in files:
        if file.suffix.lower() == ".json":
            raw += read_runs(file)
            continue
        sheet = read_sheet(file)
        if {"experiment", "identity", "folder"} <= set(sheet.header) or (
            "experiment" in sheet.header and NAME not in sheet.header
        ):
            own.append(read_results(file))
        else:
            raw += runs_of_sheet(sheet, file)
    tables = [*own, *([_table(_joined(raw), study)] if raw or not own else [])]
    return tables[0] if len(tables) == 1 else _stacked(tables)


def parse_wandb_frame(frame: pd.DataFrame, study: Study | None = None) -> pd.DataFrame:
    """What `pandas.read_csv` made of an export, or what the API gives, as `parse_wandb_export` reads it.

    Raises UserError as `parse_wandb_export` does.
    """
    # Read again as the text that it was, so that there is one reader of cells and not two.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.csv"
        frame.to_csv(path, index=False, errors="backslashreplace")
        return parse_wandb_export(path, study)


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    files = sorted(path for path in source.iterdir() if path.suffix.lower() in (".csv", ".json"))
    if not files:
        raise UserError(
            f"{source} holds no CSV and no JSON file: export the runs from the project's page in Weights & "
            "Biases (the arrow above the table, then CSV) and save the file there"
        )
    return files


def _joined(runs: Sequence[RawRun]) -> list[RawRun]:
    """The runs of all files, each once: a run that several files hold has the values of all."""
    kept: list[RawRun] = []
    # By name, then by the file that last said something of a run: rows of one file are never one run, and
    # a file of thousands of rows of one name would otherwise be compared with itself, row by row. Runs by
    # their place in `kept`, as dictionaries so that one moves to another file at once.
    by_file: dict[str, dict[Path, dict[int, RawRun]]] = defaultdict(lambda: defaultdict(dict))
    # Charts last: they say little of which run they are of.
    for run in sorted(runs, key=lambda run: run.kind == "chart"):
        files = by_file[run.name]
        candidates = [
            (place, each)
            for file, known in files.items()
            if file != run.file
            for place, each in known.items()
            if _may_be_one(each, run)
        ]
        if len(candidates) == 1:
            place, one = candidates[0]
            del files[one.file][place]
            one.values = run.values | one.values
            one.curves |= run.curves
            one.file = run.file
            files[one.file][place] = one
        else:
            files[run.file][len(kept)] = run
            kept.append(run)
    return kept


def _may_be_one(a: RawRun, b: RawRun) -> bool:
    """Whether rows of two files are of one run: nothing speaks against it, and something for it.

    Of rows of one file it says nothing: those are never one run.
    """
    shared = a.values.keys() & b.values.keys()
    agree = all(str(a.values[key]) == str(b.values[key]) for key in _SAME if key in shared)
    if not agree:
        return False
    if a.kind == "chart" and b.kind == "chart":
        return not a.curves.keys() & b.curves.keys()
    telling = {"Created", "ID", "id"} & shared or {"identity", "seed"} <= shared
    same_cells = all(str(a.values[key]) == str(b.values[key]) for key in shared)
    return b.kind == "chart" or bool(telling) or same_cells


def _table(runs: Sequence[RawRun], study: Study | None) -> pd.DataFrame:
    rows: list[Row] = []
    others: list[dict[str, Any]] = []
    known = _Known(study)
    for run in runs:
        row, rest = named(run)
        found = seed_in_name(run.name) if "seed" not in row else None
        row["experiment"], row["seed"] = found or (run.name, row.get("seed"))
        if row.get("ema") is False and "test_accuracy" in row:
            # As in our own table: without an average the accuracy is that of the weights as they are.
            row.setdefault("test_accuracy_unaveraged", row["test_accuracy"])
        rows.append(row | known.of(row))
        others.append(rest)
    _tell_apart([row for row in rows if not row["is_plain"]])
    extra = list(dict.fromkeys(key for rest in others for key in rest))
    for key in extra:
        cells = [rest.get(key) for rest in others]
        texts = all(cell is None or isinstance(cell, str) for cell in cells)
        values = cells_of(cells) if texts else [_plain(cell) for cell in cells]
        for row, value in zip(rows, values, strict=True):
            row[key] = value
    return frame_of(rows, extra)


class _Known:
    """What a study knows of runs that lie elsewhere."""

    def __init__(self, study: Study | None) -> None:
        self._catalogue = None if study is None else load_catalogue(study.path)

    def of(self, row: Row) -> Row:
        """The names of the run, and whether it is an experiment as it is written."""
        own = row["experiment"]
        names: tuple[str, ...] = ()
        if self._catalogue is not None and {"identity", "profile"} <= row.keys():
            names = self._catalogue.names_of(row["identity"][:8], row["profile"])
        called = own if own in names or not names else names[0]
        family = None if self._catalogue is None else self._catalogue.group_of(called)
        return {
            "experiment": called,
            "names": ", ".join(names or (own,)),
            "family": family or row.get("family"),
            "is_plain": bool(names),
        }


def _plain(value: Any) -> Any:
    held = isinstance(value, bool | float) or (isinstance(value, int) and abs(value) <= LARGEST)
    return value if value is None or held else str(value)


def _tell_apart(rows: Sequence[Row]) -> None:
    """Name, after the experiment, the fields of science in which runs of one name differ."""
    fields = {field: name for field, name in science_columns().items() if name not in _NOT_SCIENCE}
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[str(row.get("profile")), row["experiment"]].append(row)
    for group in groups.values():
        differing = [
            (field, column)
            for field, column in fields.items()
            if len({repr(row[column]) for row in group if column in row}) > 1
        ]
        for row in group:
            said = " ".join(f"{field}={row[column]}" for field, column in differing if column in row)
            if said:
                row["overrides"] = said
                row["experiment"] = f"{row['experiment']}[{said}]"


def _stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    names = (str(name) for table in tables for name in table.columns)
    extra = [name for name in dict.fromkeys(names) if name not in columns()]
    once: dict[Any, dict[str, Any]] = {}
    for table in tables:
        for row in table.to_dict("records"):
            cells = {str(name): None if pd.isna(value) else value for name, value in row.items()}
            once.setdefault(_key(cells) or len(once), _whole(cells))
    return frame_of(list(once.values()), extra)


def _key(cells: dict[str, Any]) -> tuple[Any, ...] | None:
    """What is the same in two rows of one run: the baseline's is in the tables of many families."""
    key = tuple(cells.get(name) for name in ("profile", "identity", "seed", "state"))
    return None if None in key else key


def _whole(cells: dict[str, Any]) -> dict[str, Any]:
    """Counts as whole numbers again: a missing cell made floats of them."""
    return {
        name: int(value)
        if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST
        else value
        for name, value in cells.items()
    }
