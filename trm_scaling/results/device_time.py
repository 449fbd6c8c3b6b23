"""Which runs had their machine to themselves: the time of the others says little of the device.

Two signs that something else ran: another run of the study at work on the same host meanwhile, and a share
of the machine's cores that other processes kept busy (`RunRecord.other_load`). Both are of runs on a CPU: an
accelerator is one run's own, as a batch gives each its GPU, and nothing is said of it here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trm_scaling.results.attempts import read_attempts
from trm_scaling.results.scan import FoundRun

TIMED: tuple[str, ...] = ("throughput", "mfu", "train_s", "device_hours", "cost_usd")
"""Columns that are times, or made of them."""

SHARED = "device_time_shared"

WHY = "their device time was measured while something else ran on the machine"

MOST_LOAD = 0.05
"""Share of a machine's cores that its own housekeeping, and a monitor, may take."""


@dataclass(frozen=True)
class Span:
    """One attempt at a run: when, in seconds since 1970, and where."""

    folder: Path
    host: str
    began: float
    ended: float


def spans_of(runs: Sequence[FoundRun]) -> list[Span]:
    """Every attempt at `runs`. One that died and wrote nothing ended when its folder last changed."""
    found = []
    for run in runs:
        path = run.folder.path.resolve()
        for each in read_attempts(run.folder.attempts):
            began = _seconds(each.began)
            ended = run.touched if each.ended is None else _seconds(each.ended)
            if began is not None and ended is not None:
                found.append(Span(path, each.host, began, max(began, ended)))
    return found


def mark_shared(rows: Sequence[dict[str, Any]], spans: Sequence[Span]) -> None:
    """Set `SHARED` in the rows of a table of runs: True, False, or missing where nothing is known.

    Runs that were trained as one program share their time by division, and do not disturb each other.
    """
    together = {Path(row["folder"]).resolve(): int(row.get("runs_together") or 1) for row in rows}
    folders = np.array([str(span.folder) for span in spans])
    hosts = np.array([span.host for span in spans])
    began = np.array([span.began for span in spans])
    ended = np.array([span.ended for span in spans])
    one_program = np.array([together.get(span.folder, 1) for span in spans])
    for row in rows:
        if not _is_cpu(row.get("device_kind")):
            continue
        path = Path(row["folder"]).resolve()
        load = row.get("other_load")
        own = folders == str(path)
        if not own.any() and load is None:
            continue
        met = False
        for at in np.flatnonzero(own):
            beside = (hosts == hosts[at]) & ~own & (began < ended[at]) & (ended > began[at])
            if together[path] > 1:
                beside &= one_program != together[path]
            met = met or bool(beside.any())
        row[SHARED] = met or (load is not None and load > MOST_LOAD)


def is_shared(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which runs were timed while something else ran, as far as `table` tells.

    A table of before `SHARED` was recorded tells by the times at which its runs began and ended: two on a
    CPU that overlap are taken to have shared it, since it does not name hosts. False where nothing is known.
    """
    known = table[SHARED] if SHARED in table else pd.Series(None, table.index, dtype=object)
    if known.notna().any() or not {"started", "finished", "device_kind"} <= set(table):
        return known.map(lambda each: each is True or each == 1).astype(bool)
    began = np.array([_or(_seconds(each), inf) for each in table["started"]])
    ended = np.array([_or(_seconds(each), -inf) for each in table["finished"]])
    overlapping = (began[:, None] < ended[None, :]) & (began[None, :] < ended[:, None])
    np.fill_diagonal(overlapping, False)
    on_cpu = table["device_kind"].map(_is_cpu).to_numpy(bool)
    return pd.Series((overlapping & on_cpu[None, :]).any(axis=1) & on_cpu, table.index)


def without_shared_times(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with `SHARED` told of every run, and no times of runs that shared their machine; no time at all
    where most did, since one that can be compared with none says nothing.

    For the whole table, before it is split: a part of it may not have the run that another one met.
    """
    shared = is_shared(table)
    shown = ~shared if shared.mean() <= 0.5 else shared & False
    times = {name: table[name].where(shown) for name in TIMED if name in table}
    return table.assign(**times, **({SHARED: shared} if shared.any() else {}))


def timed_alone(table: pd.DataFrame, column: str) -> tuple[pd.DataFrame, str]:
    """The rows of `table` whose `column` may be relied on, and what was left out, in words.

    All rows of a column that is no time. The words are empty where nothing was left out.
    """
    if column not in TIMED:
        return table, ""
    shared = is_shared(table)
    if not shared.any():
        return table, ""
    return table[~shared], f"{int(shared.sum())} of {len(table)} runs are left out: {WHY}"


def _is_cpu(device_kind: Any) -> bool:
    return isinstance(device_kind, str) and device_kind.lower() == "cpu"


def _seconds(time: Any) -> float | None:
    try:
        return datetime.fromisoformat(time).timestamp()
    except (TypeError, ValueError):
        return None


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
