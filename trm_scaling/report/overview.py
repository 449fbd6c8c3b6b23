"""What concerns the study as a whole: how much of it ran, its frontiers, which factors matter."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from trm_scaling.analysis import Importance, factor_importance, pareto_frontier
from trm_scaling.analysis.answers import usable
from trm_scaling.errors import UserError
from trm_scaling.experiments import Family
from trm_scaling.experiments.catalogue import BASELINE
from trm_scaling.plots import Cost
from trm_scaling.plots.quantity import quantity_of
from trm_scaling.report import tables
from trm_scaling.report.coverage import FINISHED, counts_by_state
from trm_scaling.report.drawn import frontier_figure, importance_figure
from trm_scaling.report.family import Studied, slug
from trm_scaling.report.page import MISSING, Block, Cell, Column, Table, Tile
from trm_scaling.report.quantities import amount, hours, joined, money, number, percent
from trm_scaling.report.runs import every_run, state_tone
from trm_scaling.results.device_time import timed_alone

COSTS: tuple[Cost, ...] = ("params", "training_flops", "inference_flops", "device_hours", "cost_usd")
"""What accuracy may be bought with."""
_LEAST = 2
"""Configurations that a frontier takes."""
_EVEN = 0.5
"""Probability below which a place on a frontier is one of the means alone."""


def tiles(table: pd.DataFrame, studied: Sequence[Studied]) -> tuple[Tile, ...]:
    """The numbers to begin with."""
    finished = table[table["state"] == FINISHED] if "state" in table else table
    planned = sum(len(each.coverage.planned) for each in studied)
    with_runs = sum(len(each.coverage.complete) + len(each.coverage.partial) for each in studied)
    found = [
        Tile(f"{with_runs} of {planned}", "experiments with a finished run"),
        Tile(f"{len(finished):,}", "finished runs", _others(table)),
    ]
    if "test_accuracy" in finished and finished["test_accuracy"].notna().any():
        means = finished.groupby("experiment")["test_accuracy"].mean().dropna()
        label = f"highest of {len(means)} mean test accuracies" if len(means) > 1 else "mean test accuracy"
        found.append(Tile(percent(number(means.max())), label, str(means.idxmax())))
    if "device_hours" in finished and finished["device_hours"].notna().any():
        cost = finished["cost_usd"].dropna() if "cost_usd" in finished else pd.Series(dtype=float)
        detail = f"about {money(float(cost.sum()))}" if not cost.empty else ""
        found.append(Tile(hours(float(finished["device_hours"].sum())), "device-hours", detail))
    return tuple(found)


def _others(table: pd.DataFrame) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts_by_state(table) if state != FINISHED)


def what_ran(table: pd.DataFrame, studied: Sequence[Studied], profile: str | None) -> Block:
    """Runs by state, and families by how far they have come, with the commands for the rest."""
    states = tuple(
        (tables.badge(state, state_tone(state)), Cell(f"{count:,}", count))
        for state, count in counts_by_state(table)
    )
    rows = []
    for each in studied:
        reached, command = each.coverage, each.coverage.command(each.family, profile)
        done = len(reached.complete) + len(reached.partial)
        finished = (
            len(each.runs.table[each.runs.table["state"] == FINISHED])
            if "state" in each.runs.table
            else len(each.runs.table)
        )
        rows.append(
            (
                tables.text(f"{each.family.key} {each.family.title}"),
                Cell(f"{done} of {len(reached.planned)}", done / max(1, len(reached.planned))),
                Cell(f"{finished:,}", finished),
                tables.text(joined(list(reached.missing), most=6)) if reached.missing else MISSING,
                tables.text(command, mono=True),
            )
        )
    belongs = {name for each in studied for name in each.family.names}
    strangers = table[~_called(table, belongs)]
    columns = (
        Column("family"),
        Column("experiments", numeric=True, about="with a finished run"),
        Column("finished runs", numeric=True),
        Column("incomplete"),
        Column("runs the rest"),
    )
    shown = [Table("Families", columns, tuple(rows))]
    if states:
        shown.insert(0, Table("Runs by state", (Column("state"), Column("runs", numeric=True)), states))
    if not strangers.empty:
        shown.append(replace(every_run(strangers), caption="Runs of no family here"))
    lead = "A run that several families share, as the baseline is, counts once by state and in each family."
    return Block("What ran", lead=lead if not table.empty else "No run was found.", tables=tuple(shown))


def _names(row: Mapping[Hashable, Any]) -> set[str]:
    """All that a run is called."""
    said = [str(row[column]) for column in ("names", "experiment") if pd.notna(row.get(column))]
    return {name.strip() for each in said for name in each.split(",")}


def _called(table: pd.DataFrame, names: set[str]) -> "pd.Series[bool]":
    """Which rows go by one of `names`."""
    found = [not _names(row).isdisjoint(names) for row in table.to_dict("records")]
    return pd.Series(found, index=table.index, dtype=bool)


def frontiers(table: pd.DataFrame) -> Block:
    """Accuracy against each cost, over all configurations."""
    lead = "A configuration is on a frontier when no other costs as little and solves as much."
    if table["experiment"].nunique() < _LEAST:
        return Block("Pareto frontiers", lead, points=("It takes two configurations at least.",))
    figures, shown, points = [], [], []
    standing: dict[str, None] = {}
    for cost in COSTS:
        words = quantity_of(cost).name.lower()
        try:
            left_out = timed_alone(usable(table).table, cost)[1]
            found = pareto_frontier(usable(table).runs(cost), left_out=left_out)
            figures.append(frontier_figure(table, found, cost, f"frontier-{slug(cost)}"))
        except UserError as error:
            points.append(f"Against {words}: not drawn, since {error}.")
            continue
        shown.append(tables.frontier(found, cost))
        on = [point for point in found.points if point.on_frontier]
        standing |= {point.configuration: None for point in on}
        said = [f"{point.configuration}{_sure(point.probability)}" for point in on]
        knee = f"; its knee is {found.knee}{_sure(found.knee_probability)}" if found.knee else ""
        points.append(
            f"Against {words}: {joined(said, most=8)} {'is' if len(on) == 1 else 'are'} on it{knee}."
            + (f" {left_out[:1].upper()}{left_out[1:]}." if left_out else "")
        )
    if more := _with_more_data(table, list(standing)):
        points.append(
            f"{joined(more, most=8)} {'is' if len(more) == 1 else 'are'} trained on more data than the "
            "baseline (train_size or num_aug), and data are no axis of cost: that they stand on a frontier "
            "does not show that they are better bought."
        )
    return Block(
        "Pareto frontiers", lead=lead, figures=tuple(figures), tables=tuple(shown), points=tuple(points)
    )


def _sure(probability: float | None) -> str:
    """How sure the seeds make a place on a frontier, in brackets; below one half they speak against it.

    Nothing where no configuration has two seeds, which the frontier's table says.
    """
    if probability is None:
        return ""
    shown = f"probability {probability:.2f}"
    return f" ({shown})" if probability >= _EVEN else f" ({shown}, by the means alone)"


def _with_more_data(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Those of `names` with more puzzles, or more variants of each, than the baseline has in `table`."""
    baseline = table[_called(table, {BASELINE})]
    found: dict[str, None] = {}
    for column in ("train_size", "num_aug"):
        usual = number(baseline[column].max()) if column in baseline and not baseline.empty else None
        if usual is None:
            continue
        most = table.groupby("experiment")[column].max()
        found |= {name: None for name in names if (own := number(most.get(name))) is not None and own > usual}
    return [name for name in names if name in found]


def importances(table: pd.DataFrame, studied: Sequence[Studied]) -> Block:
    """Which families explain the differences in accuracy.

    A factor is a family and not a field, since fields that a family changes together cannot be told apart:
    a run of another family stands where the baseline does.
    """
    title, lead = "What matters", "Each family against a model of all others, over every finished run."
    try:
        runs = usable(table).table
        belongs = {BASELINE, *(name for each in studied for name in each.family.names)}
        runs = runs[_called(runs, belongs)]
        names = [_names(row) for row in runs.to_dict("records")]
        found: Importance = factor_importance(
            {each.family.title: _levels(each.family, names) for each in studied},
            runs["test_accuracy"].to_numpy(float),
        )
    except UserError as error:
        return Block(title, lead=lead, points=(f"Not computed: {error}.",))
    figure = importance_figure(found, "importance")
    return Block(title, lead=lead, figures=(figure,), tables=(tables.importance(found),))


def _levels(family: Family, names: Sequence[set[str]]) -> list[str]:
    """The family's experiment that each run is, or the one that the baseline is."""
    own = [next((name for name in family.names if name in each), None) for each in names]
    of_baseline = [name for name, each in zip(own, names, strict=True) if name and BASELINE in each]
    baseline = of_baseline[0] if of_baseline else BASELINE
    return [name or baseline for name in own]


def runs_in_words(table: pd.DataFrame) -> str:
    """`264 finished, 2 failed`."""
    return ", ".join(f"{count:,} {state}" for state, count in counts_by_state(table)) or amount(0, "run")
