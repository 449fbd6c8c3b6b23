"""From the keys of Weights & Biases to the columns of the table of runs."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from trm_scaling.results.columns import Kind, columns, configured_columns
from trm_scaling.results.frame import is_of, value_of
from trm_scaling.results.row import Row, spent
from trm_scaling.results.wandb_export.files import NAME, RawRun

STATES = {
    "finished": "finished",
    "running": "running",
    "crashed": "interrupted",
    "preempted": "interrupted",
    "preempting": "interrupted",
    "failed": "failed",
    "killed": "stopped",
    "pending": "new",
}
"""W&B's word -> ours. It calls a run crashed that it heard no more of, and killed one that somebody ended."""

_KEYS: Mapping[str, tuple[str, ...]] = {
    "experiment": (NAME,),
    "profile": ("profile", "Job Type", "job_type"),
    "family": ("Group", "group"),
    "started": ("Created",),
    "params": ("parameters", "num_params"),
    "puzzle_emb_params": ("puzzle_emb_parameters",),
    "throughput": ("examples_per_s",),
    "test_solved": ("test/best/solved",),
    "test_total": ("test/best/puzzles",),
    # The public code evaluates on its test split, under the name "all", and logs the newest weights.
    "test_accuracy": ("test/best/exact_rate", "all.exact_accuracy", "all/exact_accuracy"),
    "test_cell_accuracy": ("test/best/cell_rate", "all.accuracy", "all/accuracy"),
    "test_loss": ("test/best/loss", "all.lm_loss", "all/lm_loss"),
    "test_accuracy_last": ("test/last/exact_rate", "all.exact_accuracy", "all/exact_accuracy"),
    "test_accuracy_unaveraged": ("test/best_current/exact_rate",),
    "halting_accuracy": ("test/best/halting_rule_exact_rate",),
    "halting_mean_steps": ("test/best/halting_rule_mean_steps",),
}
"""Column -> the keys that may hold it, the first one first; further, each column's own name, and each field
of the configuration by its dotted name."""

_PEAKS: Mapping[str, str] = {"eval/exact_rate": "val_accuracy"}
"""Metric of a chart -> the column that holds its largest value."""

_PUBLIC_DATA = re.compile(
    r"-(?P<puzzles>\d{1,12})(?P<thousands>k?)-aug-(?P<augmentations>\d{1,12})", re.IGNORECASE
)
"""The public code's name of a dataset, as in data/sudoku-extreme-1k-aug-1000."""

_SEED_IN_NAME = re.compile(r"(?P<name>.+?)[-_ .]+s(?:eed)?[-_= ]?(?P<seed>\d{1,15})", re.IGNORECASE)
"""`exp01a-s2`, `exp01a_seed3`."""


def named(run: RawRun) -> tuple[Row, dict[str, Any]]:
    """The documented cells of `run`, and all other values under W&B's own keys.

    A value that its column cannot hold stays under its own key.
    """
    row: Row = {}
    used: set[str] = set()
    words = {column.name for column in configured_columns().values() if column.kind == "text"}
    for column, keys in _candidates().items():
        for key in keys:
            if key in run.values:
                value = _held(run.values[key], columns()[column].kind)
                if isinstance(value, str) and value[:1] + value[-1:] == "[]":
                    # A list, which our own table has without brackets; an empty one is missing.
                    value = value[1:-1] or None
                    used.add(key)
                # A metric may have the name of a word: `loss` is the kind of loss here.
                is_misnamed = column in words and isinstance(_held(value, "number"), float)
                if value is not None and not is_misnamed:
                    row[column] = value
                    used.add(key)
                    break
    row |= _derived(run, row)
    rest = {_free(key): value for key, value in run.values.items() if key not in used and key != NAME}
    return row, rest


def seed_in_name(name: str) -> tuple[str, int] | None:
    """The name without the seed that it ends with, and the seed."""
    found = _SEED_IN_NAME.fullmatch(name)
    return (found["name"], int(found["seed"])) if found else None


def unread(row: Mapping[Any, Any], column: str) -> str:
    """Why `row` of the table has no value of `column` though its export holds text for it: W&B's key and the
    text, `all.exact_accuracy is '0,3848'`. Empty where the export holds none.
    """
    for key in _candidates().get(column, ()):
        for name in (key, f"{key} (W&B)"):
            text = row.get(name)
            if isinstance(text, str) and name != column:
                return f"{key} is {text!r:.40}"
    return ""


@cache
def _candidates() -> Mapping[str, tuple[str, ...]]:
    """Column -> the keys that may hold it, the better ones first."""
    configured = {column.name: field for field, column in configured_columns().items()}
    made = {}
    for column in columns():
        keys = _KEYS.get(column, ())
        dotted = (configured[column],) if column in configured else ()
        # W&B knows a state of its own, and its text is ours to read below.
        made[column] = (*keys, *dotted, column) if column != "state" else ()
    return made


def _held(value: Any, kind: Kind) -> Any:
    """`value` as a cell of `kind`; None where it is none."""
    try:
        found = value_of(value, kind)
    except ValueError:
        return None
    return None if found == "" else found


def _free(key: str) -> str:
    """`key`, unless a documented column has that name and means something else."""
    return f"{key} (W&B)" if key in columns() else key


def _derived(run: RawRun, row: Row) -> Row:
    made: Row = {}
    status = str(run.values.get("status", ""))
    # Our mirror's summary says of a finished run that it is, be the column State in the export or not.
    said = str(run.values.get("State", "finished" if status == "finished" else "")).lower()
    if said:
        made["state"] = STATES.get(said, said)
    if said and made["state"] != "finished":
        made["reason"] = f"W&B: {said}" + (f": {status}" if status and status != "finished" else "")
    for metric, column in _PEAKS.items():
        if run.curves.get(metric):
            # The earlier one, among equals.
            step, made[column] = max(run.curves[metric], key=lambda point: (point[1], -point[0]))
            if math.isfinite(step) and is_of(int(step), "count"):
                made["best_step"] = int(step)
    made |= _public_data(run, row) | dict(_computed(row))
    return made


def _public_data(run: RawRun, row: Row) -> Row:
    paths = str(run.values.get("data_paths", run.values.get("data_path", "")))
    found = _PUBLIC_DATA.search(paths)
    if found is None or "train_size" in row:
        return {}
    puzzles = int(found["puzzles"]) * (1000 if found["thousands"] else 1)
    return {"train_size": puzzles, "num_aug": int(found["augmentations"])}


def _computed(row: Row) -> Iterator[tuple[str, Any]]:
    """What the table computes from other columns, where an export has those."""
    if {"test_solved", "test_total"} <= row.keys() and 0 <= row["test_solved"] <= row["test_total"] > 0:
        from scipy.stats import binomtest

        interval = binomtest(row["test_solved"], row["test_total"]).proportion_ci(method="wilson")
        yield "test_accuracy_low", float(interval.low)
        yield "test_accuracy_high", float(interval.high)
    with suppress(KeyError, ZeroDivisionError):
        yield from ((name, value) for name, value in spent(row).items() if value is not None)
    if all(name in row for name in ("inference_flops", "halting_mean_steps", "halt_max_steps")) and (
        row["halt_max_steps"] > 0
    ):
        share = row["halting_mean_steps"] / row["halt_max_steps"]
        yield "halting_inference_flops", row["inference_flops"] * share
