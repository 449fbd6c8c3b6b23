"""What happened inside the finished runs of a table, as long tables: a row an evaluation, or a step of one.

Each has the columns `experiment`, `identity`, `profile` and `seed` of its runs. A run whose folder is
not here (a table from another machine, or from W&B) has no rows.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.columns import Kind
from trm_scaling.results.evaluations import headline
from trm_scaling.results.frame import is_of, series_of
from trm_scaling.results.row import DamagedRecord, read_plain_record

Cells = dict[str, Any]

_RUN: dict[str, Kind] = {"experiment": "text", "identity": "text", "profile": "text", "seed": "count"}

LEARNING_CURVES: dict[str, Kind] = {
    "step": "count",
    "puzzle_steps": "count",
    "seconds": "number",
    "val_accuracy": "number",
    "val_cell_accuracy": "number",
    "val_loss": "number",
    "val_accuracy_unaveraged": "number",
    "val_cell_accuracy_unaveraged": "number",
    "halting_accuracy": "number",
    "halting_mean_steps": "number",
}

ACCURACY_BY_STEP: dict[str, Kind] = {
    "supervision_step": "count",
    "solved": "count",
    "total": "count",
    "accuracy": "number",
}

HALTING_HISTOGRAMS: dict[str, Kind] = {"at": "text", "supervision_step": "count", "count": "count"}

TEST = "test"
"""Where a histogram of halting steps is of the test split; else `train step N`."""


def learning_curves(table: pd.DataFrame) -> pd.DataFrame:
    """The evaluations on validation, in order.

    `step` counts training steps and `puzzle_steps` those times the batch; `seconds` is the run's time
    until then: compiling, training, evaluating and waiting for checkpoints, resumes included.
    The columns without `unaveraged` are of the average where the run keeps one; those with it, of the current
    weights, where they were evaluated: in runs without an average, and in those with one of rate 0 besides
    (`ema_rates=[0]`). `halting_accuracy` and `halting_mean_steps` are of answers taken where the
    halting logit says so.
    """
    return _long(table, LEARNING_CURVES, _evaluations)


def accuracy_by_step(table: pd.DataFrame) -> pd.DataFrame:
    """Test puzzles solved after each supervision step by the weights of the headline."""
    return _long(table, ACCURACY_BY_STEP, _by_step)


def halting_histograms(table: pd.DataFrame) -> pd.DataFrame:
    """How many puzzles halt after each supervision step by their halting logit.

    `at` says where: `test`, or `train step N` for the validation sample after N training steps.
    """
    return _long(table, HALTING_HISTOGRAMS, _halting)


def _long(
    table: pd.DataFrame, kinds: Mapping[str, Kind], read: Callable[[Mapping[str, Any]], Iterable[Cells]]
) -> pd.DataFrame:
    cells: list[Cells] = []
    for run, record in _records(table):
        cells += [{**run, **each} for each in _unbroken(read, record)]
    return pd.DataFrame(
        {
            name: series_of([value if is_of(value := each[name], kind) else None for each in cells], kind)
            for name, kind in {**_RUN, **kinds}.items()
        }
    )


def _unbroken(read: Callable[[Mapping[str, Any]], Iterable[Cells]], record: Mapping[str, Any]) -> list[Cells]:
    try:
        return list(read(record))
    except (KeyError, TypeError, ValueError):
        # The table said that it is damaged, or it was damaged since: there is nothing to draw.
        return []


def _records(table: pd.DataFrame) -> Iterable[tuple[Cells, Mapping[str, Any]]]:
    if not {"folder", "state"} <= set(table.columns):
        return
    finished = table[(table["state"] == "finished") & table["folder"].notna()]
    for row in finished.reindex(columns=[*_RUN, "folder"]).to_dict("records"):
        run = {name: None if pd.isna(row[name]) else row[name] for name in _RUN}
        try:
            yield run, read_plain_record(RunFolder(Path(row["folder"])))
        except DamagedRecord:
            continue


def _evaluations(record: Mapping[str, Any]) -> Iterable[Cells]:
    batch = record["config"]["global_batch_size"]
    current = "eval/ema_0" if record["config"]["ema"] else "eval"
    for line in record["learning_curve"]:
        yield {
            "step": line["step"],
            "puzzle_steps": line["step"] * batch,
            "seconds": line.get("time"),
            "val_accuracy": line.get("eval/exact_rate"),
            "val_cell_accuracy": line.get("eval/cell_rate"),
            "val_loss": line.get("eval/loss"),
            "val_accuracy_unaveraged": line.get(f"{current}/exact_rate"),
            "val_cell_accuracy_unaveraged": line.get(f"{current}/cell_rate"),
            "halting_accuracy": line.get("eval/halting_rule_exact_rate"),
            "halting_mean_steps": line.get("eval/halting_rule_mean_steps"),
        }


def _by_step(record: Mapping[str, Any]) -> Iterable[Cells]:
    for step in headline(record).summary["by_step"]:
        yield {
            "supervision_step": step["supervision_step"],
            "solved": step["solved"],
            "total": step["puzzles"],
            "accuracy": step["exact_rate"],
        }


def _halting(record: Mapping[str, Any]) -> Iterable[Cells]:
    counted = [
        (f"train step {line['step']}", line.get("eval/halting_rule_steps_histogram") or [])
        for line in record["learning_curve"]
    ]
    counted.append((TEST, headline(record).summary["halting_rule"]["steps_histogram"]))
    for at, histogram in counted:
        for step, count in enumerate(histogram, start=1):
            yield {"at": at, "supervision_step": step, "count": count}
