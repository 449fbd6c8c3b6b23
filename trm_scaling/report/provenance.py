"""Where the numbers come from: code, machines, dates, data, versions; as the runs recorded them."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from trm_scaling.io.run_folder import RunFolder
from trm_scaling.report.coverage import FINISHED
from trm_scaling.report.page import Block, Fact
from trm_scaling.report.quantities import amount, hours, joined, money

_PACKAGES = ("jax", "jaxlib", "optax", "numpy", "trm-scaling")
"""What decides the numbers of a run."""


def provenance(table: pd.DataFrame) -> Block:
    """Statements about the runs in `table`, and about the files beside them."""
    finished = table[table["state"] == FINISHED] if "state" in table else table
    starts = _starts(finished)
    facts = [
        _commits(finished),
        _devices(finished),
        _dates(table),
        _data(finished),
        _versions(starts),
        _spent(finished),
    ]
    return Block("Provenance", facts=tuple(facts))


def _counted(values: Iterable[Any], noun: str = "run") -> str:
    """`a1b2c3d (12 runs) and e4f5a6b (3 runs)`."""
    counts = Counter(str(value) for value in values)
    return joined([f"{value} ({amount(count, noun)})" for value, count in counts.most_common()], most=8)


def _known(table: pd.DataFrame, column: str) -> pd.Series:
    return table[column].dropna() if column in table else pd.Series(dtype=object)


def _commits(finished: pd.DataFrame) -> Fact:
    commits = _known(finished, "commit").astype(str).str[:12]
    if commits.empty:
        return Fact("Code", "no run recorded a commit", missing=True)
    unknown = len(finished) - len(commits)
    said = f"commit {_counted(commits)}" + (f"; not recorded by {amount(unknown, 'run')}" if unknown else "")
    dirty = int((_known(finished, "uncommitted_changes") == True).sum())  # noqa: E712  # a column of objects
    if dirty:
        said += f"; {amount(dirty, 'run')} had uncommitted changes, kept as a diff in the run folder"
    return Fact("Code", said)


def _devices(finished: pd.DataFrame) -> Fact:
    kinds = _known(finished, "device_kind")
    if kinds.empty:
        return Fact("Devices", "not recorded", missing=True)
    counts = (
        finished.loc[kinds.index, "device_count"] if "device_count" in finished else pd.Series(1, kinds.index)
    )
    return Fact(
        "Devices", _counted(f"{count:.0f} x {kind}" for kind, count in zip(kinds, counts, strict=True))
    )


def _dates(table: pd.DataFrame) -> Fact:
    times = sorted(str(time) for column in ("started", "finished") for time in _known(table, column))
    if not times:
        return Fact("Dates", "not recorded", missing=True)
    first, last = times[0][:10], times[-1][:10]
    return Fact("Dates", f"{first}, UTC" if first == last else f"{first} to {last}, UTC")


def _data(finished: pd.DataFrame) -> Fact:
    prints = _known(finished, "data_fingerprint").astype(str).str[:12]
    if prints.empty:
        return Fact("Data", "no run recorded a fingerprint", missing=True)
    source = _counted(_known(finished, "source")) or "source not recorded"
    return Fact("Data", f"source {source}; fingerprint {_counted(prints)}")


def _versions(starts: list[dict[str, Any]]) -> Fact:
    found: dict[str, set[str]] = {}
    for start in starts:
        packages = start.get("packages")
        named = {"python": start.get("python")} | (packages if isinstance(packages, dict) else {})
        for name in ("python", *_PACKAGES):
            if isinstance(version := named.get(name), str):
                found.setdefault(name, set()).add(version)
    if not found:
        return Fact("Versions", "not recorded", missing=True)
    return Fact("Versions", ", ".join(f"{name} {' and '.join(sorted(seen))}" for name, seen in found.items()))


def _spent(finished: pd.DataFrame) -> Fact:
    time, cost = _known(finished, "device_hours"), _known(finished, "cost_usd")
    if time.empty:
        return Fact("Spent", "not recorded", missing=True)
    said = f"{hours(float(time.sum()))} device-hours"
    if not cost.empty:
        said += f", about {money(float(cost.sum()))} at list prices"
        said += (
            "" if len(cost) == len(finished) else f" of the {amount(len(cost), 'run')} whose device has one"
        )
    return Fact("Spent", said)


def _starts(finished: pd.DataFrame) -> list[dict[str, Any]]:
    """The newest entry of every run's provenance that can be read."""
    found = []
    for folder in _known(finished, "folder"):
        try:
            entries = json.loads(RunFolder(Path(str(folder))).provenance.read_bytes())
        except (OSError, ValueError, RecursionError):
            # A record copied without its folder, say: then these versions are not known.
            continue
        if isinstance(entries, list) and entries and isinstance(entries[-1], dict):
            found.append(entries[-1])
    return found
