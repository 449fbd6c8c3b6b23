"""Which runs of a table count, and why the others do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from trm_scaling.experiments import Family
from trm_scaling.results.table import DUPLICATE, SEPARATOR, family_rows
from trm_scaling.results.wandb_export.naming import unread


def counts(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which runs are at their end: a run that goes on, or broke off, has the accuracy of its middle."""
    if "state" not in table:
        return pd.Series(True, table.index)
    return table["state"].isna() | (table["state"] == "finished")


def run_of(row: Mapping[Any, Any]) -> str:
    """`exp01b, seed 3`."""
    return (
        f"{row['experiment']}, seed {row['seed']:g}" if pd.notna(row.get("seed")) else str(row["experiment"])
    )


def left_out(row: Mapping[Any, Any], columns: Sequence[str]) -> str:
    """Why a run without a number in all of `columns` is left out: `exp01b, seed 3: failed: non-finite loss`.

    A finished one lacks a number, and what its export has in place of it is quoted.
    """
    why = [str(row[name]) for name in ("state", "reason") if pd.notna(row.get(name))]
    if why[:1] in ([], ["finished"]):
        missing = [column for column in columns if pd.isna(row.get(column))]
        texts = [f" ({text})" if (text := unread(row, column)) else "" for column in missing]
        why = [" and ".join(f"no {column}{text}" for column, text in zip(missing, texts, strict=True))]
    return f"{run_of(row)}: {': '.join(why)}"


@dataclass(frozen=True)
class FamilyRuns:
    """What a table holds of a family."""

    table: pd.DataFrame
    """The family's rows, each experiment under the family's own name for it."""
    excluded: tuple[str, ...]
    """Runs that were left out, each with the reason."""
    shared: tuple[tuple[str, ...], ...]
    """Names of the family that are one configuration under this profile; its rows have the first one."""


def runs_of_family(table: pd.DataFrame, family: Family) -> FamilyRuns:
    """The rows of `table` that are an experiment of `family` as it is written, each seed once.

    Left out are runs with overrides, since they are other experiments, and second runs of one
    configuration and seed, since they are no replicates; a finished run is kept before one that is not.
    A table without `names` (from elsewhere) is taken to have one name a run.
    """
    known = table.assign(
        names=_filled(table, "names", _filled(table, "experiment", "")),
        overrides=_filled(table, "overrides", ""),
    )
    rows = family_rows(known, family)
    changed = rows["overrides"] != ""
    repeated = _repeated(rows) & ~changed
    excluded = [
        *(f"{run_of(row)}: run with overrides" for row in rows[changed].to_dict("records")),
        *(
            f"{run_of(row)}: the same run once more, which is no replicate"
            for row in rows[repeated].to_dict("records")
        ),
    ]
    kept = rows[~changed & ~repeated].reset_index(drop=True)
    groups = {_own_names(names, family) for names in kept["names"]}
    shared = tuple(sorted(group for group in groups if len(group) > 1))
    return FamilyRuns(kept, tuple(dict.fromkeys(excluded)), shared)


def each_once(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` that are an experiment as it is written, or none at all, each seed once."""
    rows = table.reset_index(drop=True)
    changed = _filled(rows, "overrides", "") != ""
    return rows[~changed & ~_repeated(rows)].reset_index(drop=True)


def _filled(table: pd.DataFrame, column: str, otherwise: "str | pd.Series") -> pd.Series:
    if column in table:
        return table[column].astype("str").where(table[column].notna(), otherwise)
    return otherwise if isinstance(otherwise, pd.Series) else pd.Series(otherwise, table.index, dtype="str")


def _repeated(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows are the same experiment and seed as one that is kept."""
    is_copy = rows["state"] == DUPLICATE if "state" in rows else pd.Series(False, rows.index)
    if "seed" not in rows:
        return is_copy
    keys = [column for column in ("profile", "experiment", "seed") if column in rows]
    unfinished = rows["state"] != "finished" if "state" in rows else pd.Series(False, rows.index)
    finished_first = rows.assign(_later=unfinished).sort_values("_later", kind="stable")
    return is_copy | (finished_first.duplicated(keys) & finished_first["seed"].notna()).sort_index()


def _own_names(names: str, family: Family) -> tuple[str, ...]:
    own = set(names.split(SEPARATOR))
    return tuple(name for name in family.names if name in own)
