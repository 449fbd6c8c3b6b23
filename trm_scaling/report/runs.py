"""Tables of configurations and of runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from trm_scaling.analysis.answers import Answer
from trm_scaling.experiments import Family
from trm_scaling.plots.quantity import quantity_of
from trm_scaling.report.coverage import FINISHED
from trm_scaling.report.page import MISSING, Cell, Column, Table, Tone
from trm_scaling.report.quantities import (
    compact,
    duration,
    memory,
    number,
    percent_interval,
    significant,
)
from trm_scaling.report.tables import accuracy, badge, figures, text, whole
from trm_scaling.results.columns import column_of_field

_MEANS = (
    ("params", "parameters"),
    ("training_flops", "training"),
    ("inference_flops", "per answer"),
    ("halting_mean_steps", "halts after"),
    ("device_hours", "device time"),
    ("cost_usd", "cost"),
)
"""Of a configuration, over its finished runs: column and label."""


def configurations(family: Family, runs: pd.DataFrame, answer: Answer | None) -> Table:
    """A row an experiment of the family, run or not, with means over its finished runs."""
    finished = runs[runs["state"] == FINISHED] if "state" in runs else runs
    changed = changed_columns(family, runs)
    measured = [each for each in _MEANS if _tells_apart(finished, each[0])]
    units = {
        column: quantity_of(column).unit(_numbers(finished, column).to_numpy(float)) for column, _ in measured
    }
    summaries = {each.configuration: each for each in answer.seeds} if answer else {}
    rows = []
    for name in family.names:
        own, done = runs[runs["experiment"] == name], finished[finished["experiment"] == name]
        seeds = summaries.get(name)
        row = [text(name, mono=True)]
        row += [_value(own[column].iloc[0] if len(own) else None) for column in changed]
        row += [
            Cell(str(len(done)), len(done)) if len(own) else badge("not run", "quiet"),
            accuracy(seeds.mean if seeds else mean(done, "test_accuracy")),
            Cell(percent_interval(seeds.interval), seeds.interval.ends[0])
            if seeds and seeds.interval
            else MISSING,
            accuracy(mean(done, "val_accuracy")),
        ]
        for column, _ in measured:
            value = mean(done, column)
            row.append(figures(value, _measure(column, value, units[column][0])))
        rows.append(tuple(row))
    columns = (
        Column("experiment"),
        *(Column(column, numeric=_is_numeric(runs, column)) for column in changed),
        Column("seeds", numeric=True, about="finished runs"),
        Column("test accuracy", numeric=True, about="mean over seeds, checkpoint chosen on validation"),
        Column("95 % interval", numeric=True),
        Column("validation", numeric=True, about="mean over seeds of the peak"),
        *(Column(label, units[column][1], numeric=True) for column, label in measured),
    )
    basis = sorted({each.basis for each in summaries.values() if each.basis})
    note = f"Intervals: {', '.join(basis)}." if basis else ""
    return Table("Configurations", columns, tuple(rows), note=note)


def _measure(column: str, value: float | None, factor: float) -> str:
    if column == "params":
        return compact(value)
    return significant(None if value is None else value / factor)


def _tells_apart(runs: pd.DataFrame, column: str) -> bool:
    """Whether the column is there and not the same for all; what is, the design says."""
    if column not in runs:
        return False
    values = _numbers(runs, column).dropna()
    return bool(len(values) and values.max() > 1.01 * values.min())


def changed_columns(family: Family, runs: pd.DataFrame) -> list[str]:
    """The columns of the fields in which the family's experiments differ, as far as the table has them."""
    columns = [
        column_of_field(field) for field, values in family.values.items() if len(set(map(str, values))) > 1
    ]
    return [column for column in columns if column in runs and runs[column].notna().any()]


def mean(runs: pd.DataFrame, column: str) -> float | None:
    """Over the runs that have a number there."""
    if column not in runs:
        return None
    return number(_numbers(runs, column).mean())


def _numbers(runs: pd.DataFrame, column: str) -> pd.Series:
    return pd.to_numeric(runs[column], errors="coerce")


_RUN_COLUMNS: Sequence[tuple[Column, str]] = (
    (Column("experiment"), "experiment"),
    (Column("seed", numeric=True), "seed"),
    (Column("state"), "state"),
    (Column("test accuracy", numeric=True), "test_accuracy"),
    (Column("solved", "puzzles", numeric=True), "test_solved"),
    (Column("validation", numeric=True), "val_accuracy"),
    (Column("best step", numeric=True), "best_step"),
    (Column("steps", numeric=True), "steps"),
    (Column("puzzle-steps/s", numeric=True), "throughput"),
    (Column("training", numeric=True), "train_s"),
    (Column("peak memory", numeric=True), "peak_memory_bytes"),
    (Column("identity"), "identity"),
    (Column("why not finished"), "reason"),
)


def every_run(runs: pd.DataFrame) -> Table:
    """A row a run, in whatever state."""
    shown = [(column, name) for column, name in _RUN_COLUMNS if name in runs and runs[name].notna().any()]
    rows = tuple(tuple(_run_cell(row, name) for _, name in shown) for row in runs.to_dict("records"))
    return Table("Every run", tuple(column for column, _ in shown), rows, folded=True)


def _run_cell(row: Mapping[Any, Any], name: str) -> Cell:
    value = row[name]
    match name:
        case "state":
            return MISSING if _absent(value) else badge(str(value), state_tone(str(value)))
        case "test_accuracy" | "val_accuracy":
            return accuracy(number(value))
        case "test_solved":
            return _of(number(value), number(row.get("test_total")))
        case "train_s":
            return figures(number(value), duration(number(value)))
        case "peak_memory_bytes":
            return figures(number(value), memory(number(value)))
        case "identity":
            return MISSING if _absent(value) else text(str(value)[:8], mono=True)
        case "experiment":
            return text(str(value), mono=True)
        case "reason":
            return MISSING if _absent(value) else text(str(value))
        case _:
            return whole(number(value))


def _of(part: float | None, total: float | None) -> Cell:
    if part is None:
        return MISSING
    return Cell(f"{part:,.0f}" + ("" if total is None else f" of {total:,.0f}"), part)


def state_tone(state: str) -> Tone:
    """How a run's state is coloured."""
    match state:
        case "finished":
            return "good"
        case "failed" | "damaged":
            return "bad"
        case "running" | "interrupted" | "stopped":
            return "middling"
        case _:
            return "quiet"


def _absent(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _is_numeric(runs: pd.DataFrame, column: str) -> bool:
    return bool(pd.api.types.is_numeric_dtype(runs[column])) and not pd.api.types.is_bool_dtype(runs[column])


def _value(value: object) -> Cell:
    """A value of the configuration."""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return text("on" if value else "off")
    if isinstance(value, str):
        return text(value, mono=True)
    found = number(value)
    return figures(found, "" if found is None else f"{found:,.6g}")
