"""Which rows of what a caller hands over are a family's, under that family's names."""

import pandas as pd

from trm_scaling.errors import UserError
from trm_scaling.results.wandb_export import parse_wandb_frame

_EXPORTED = ({"Name"}, {"name", "summary", "config"})
"""Columns that tell what Weights & Biases wrote: a runs table, or what its API gives."""


def frame_of(results: object) -> pd.DataFrame:
    """`results` as a table of runs, whose columns are ours where it came from Weights & Biases.

    Raises UserError for anything but a frame, and for an export that cannot be read.
    """
    if not isinstance(results, pd.DataFrame):
        raise UserError(
            f"results is a {type(results).__name__}, and a plot needs a table with a row a run: "
            "read one with pandas.read_csv, or make one with trm results --csv"
        )
    exported = any(columns <= set(results.columns) for columns in _EXPORTED)
    return parse_wandb_frame(results) if exported and "experiment" not in results else results


def rows_of_family(results: object, *keys: str) -> pd.DataFrame:
    """The rows whose experiment, or another of its `names`, begins with one of `keys`, under that name.

    A run with overrides is another experiment: it keeps them in its name. All rows where none begins so: the
    experiments are then somebody's own.
    """
    table = frame_of(results)
    if "experiment" not in table:
        return table
    own = [
        name and _with_overrides(name, overrides)
        for name, overrides in zip(
            (_first_of(str(row.experiment), str(row.names), keys) for row in _names(table).itertuples()),
            overrides_of(table),
            strict=True,
        )
    ]
    if not any(own):
        return table
    names = [name for name in own if name is not None]
    kept = table[[name is not None for name in own]]
    if names == kept["experiment"].tolist():
        return kept
    renamed = kept.assign(experiment=names)
    return renamed.sort_values("experiment", key=lambda each: each.map(_order), kind="stable")


def overrides_of(table: pd.DataFrame) -> pd.Series:
    """What each run changes of its experiment, as text; empty where it changes nothing."""
    if "overrides" not in table:
        return pd.Series("", index=table.index)
    return table["overrides"].fillna("").astype(str)


def _with_overrides(name: str, overrides: str) -> str:
    return f"{name}[{overrides}]" if overrides and "[" not in name else name


def _order(name: str) -> tuple[bool, str]:
    """A family's baseline comes first."""
    return not name.endswith("_baseline"), name


def _names(table: pd.DataFrame) -> pd.DataFrame:
    names = table["names"] if "names" in table else pd.Series("", index=table.index)
    return pd.DataFrame({"experiment": table["experiment"], "names": names})


def _first_of(experiment: str, names: str, keys: tuple[str, ...]) -> str | None:
    every = [experiment, *(name.strip() for name in names.split(","))]
    return next((name for name in every if name.startswith(keys)), None)
