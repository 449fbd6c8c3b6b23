"""The points of a law: a row an evaluation of a finished run, kept in a table that is committed."""

import gzip
from pathlib import Path

import pandas as pd

from trm_scaling.analysis import LossRuns, with_sizes
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_bytes, write_text
from trm_scaling.io.study import Study
from trm_scaling.preregistration.protocol import Protocol
from trm_scaling.results.curves import learning_curves
from trm_scaling.results.table import results_table

FILE = "points.csv"
RECORDS = "records"
"""Folder of what is kept of each finished run: `<experiment>-s<seed>/` with the files of KEPT."""
KEPT = ("result.json", "test_outcomes.npz", "metrics.jsonl")
"""Of a run folder; the metrics are compressed. Not what names the machine, and no weights."""
SIZES = ("params", "params_without_mixing", "params_of_blocks")
OF_RUN = (
    *("experiment", "seed", "identity", "hidden_size", "lr", "H_cycles", "L_cycles", *SIZES),
    *("started", "finished", "commit", "uncommitted_changes", "device_kind", "device_hours"),
    *("device_time_shared", "training_flops"),
)
OF_POINT = (
    *("samples", "val_cell_error", "val_accuracy"),
    *("val_cell_error_unaveraged", "val_accuracy_unaveraged"),
)
COLUMNS = ("stage", *OF_RUN, *OF_POINT)
KEY = ["experiment", "seed", "samples"]


def points_of(runs: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """The evaluations of finished `runs`: COLUMNS, in the protocol's order."""
    curves = learning_curves(runs)
    if curves.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    runs = with_sizes(runs)
    of_run = runs[[name for name in OF_RUN if name in runs]]
    table = curves.rename(columns={"puzzle_steps": "samples"}).merge(
        of_run, on=["experiment", "identity", "seed"]
    )
    for which in ("", "_unaveraged"):
        table[f"val_cell_error{which}"] = 1 - table[f"val_cell_accuracy{which}"]
    table["stage"] = [protocol.stage_of(name) for name in table["experiment"]]
    return _sorted(table.reindex(columns=list(COLUMNS)), _wanted(protocol))


def finished_runs(study: Study, protocol: Protocol) -> pd.DataFrame:
    """The protocol's finished runs in `study`, as `results_table` has them, by the protocol's names."""
    wanted = _wanted(protocol)
    # As patterns, so that a run with several names is called by one of these.
    runs = results_table(study, wanted, protocol.profile)
    return runs[(runs["state"] == "finished") & runs["experiment"].isin(wanted) & (runs["overrides"] == "")]


def keep_records(folder: Path, runs: pd.DataFrame) -> None:
    """Copy the records of finished `runs` into `folder`, to be committed."""
    for row in runs.to_dict("records"):
        kept = folder / RECORDS / f"{row['experiment']}-s{row['seed']:.0f}"
        kept.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            if (source := Path(row["folder"]) / name).exists():
                packed = name.endswith(".jsonl")
                content = source.read_bytes()
                # Without the time in its header, equal metrics make equal files.
                written = gzip.compress(content, mtime=0) if packed else content
                write_bytes(kept / f"{name}{'.gz' * packed}", written)


def read_points(folder: Path) -> pd.DataFrame:
    """The committed table of `folder`; without one, an empty one."""
    path = folder / FILE
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.read_csv(path, dtype={"identity": str, "commit": str})
    if missing := [name for name in COLUMNS if name not in table]:
        raise UserError(f"{path} lacks {', '.join(missing)}: `trm law run` writes it, restore the file")
    return table[list(COLUMNS)]


def update(folder: Path, study: Study, protocol: Protocol) -> pd.DataFrame:
    """Add finished runs of `study` that the table of `folder` lacks, with their records, and return it.

    A run that the table holds stays as it was measured: the same seed on another processor rounds otherwise
    and ends elsewhere, and the predictions rest on what was fitted.
    """
    kept, runs = read_points(folder), finished_runs(study, protocol)
    known = set(zip(kept["experiment"], kept["seed"], strict=True))
    fresh = runs[[pair not in known for pair in zip(runs["experiment"], runs["seed"], strict=True)]]
    if fresh.empty:
        return kept
    keep_records(folder, fresh)
    added = points_of(fresh, protocol)
    table = pd.concat([each for each in (kept, added) if len(each)], ignore_index=True)
    table = _sorted(table, _wanted(protocol))
    write_text(folder / FILE, table.to_csv(index=False))
    return table


def of_stage(points: pd.DataFrame, protocol: Protocol, stage: str) -> pd.DataFrame:
    """The points of `stage` that count: those beyond the first samples that its blocks leave out."""
    beyond = {name: block.beyond for block in protocol.blocks(stage) for name in block.experiments}
    here = points[points["stage"] == stage]
    return here[here["samples"].astype(float) > here["experiment"].map(beyond).astype(float)]


def loss_runs(points: pd.DataFrame, outcome: str, size: str) -> LossRuns:
    """`points` for a fit: L against N and D, the points of a run as one cluster.

    Raises UserError where a value is missing, or an evaluation made no error at all, which has no logarithm.
    """
    if points.empty:
        raise UserError("no run of the fitted stage is finished: `trm law run` trains them")
    return LossRuns.of(
        points, loss=outcome, params=size, data="samples", configuration="experiment", seed="seed"
    )


def _wanted(protocol: Protocol) -> list[str]:
    """Every experiment of the protocol, in order."""
    return [name for stage in protocol.stages for name in protocol.experiments(stage)]


def _sorted(table: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    order = {name: number for number, name in enumerate(wanted)}
    ranks = table["experiment"].map(lambda name: order.get(name, len(order)))
    table = table.assign(_rank=ranks).sort_values(["_rank", "seed", "samples"], kind="stable")
    return table.drop(columns="_rank").reset_index(drop=True)
