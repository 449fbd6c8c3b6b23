"""Tables of configurations, of runs, and of what the analysis returns."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from trm_scaling.analysis import (
    Comparison,
    Fit,
    Frontier,
    Importance,
    SeedSummary,
    common_seeds,
    keeps,
    seeds_in_words,
)
from trm_scaling.analysis.frontier import FrontierPoint
from trm_scaling.plots.quantity import quantity_of
from trm_scaling.report.coverage import FINISHED
from trm_scaling.report.page import CellKind, Column, Table
from trm_scaling.results.format import amount, joined, number, percent

_HALTS = "halting_mean_steps"

COSTS: tuple[tuple[str, Column], ...] = (
    ("params", Column("parameters", "compact", "without puzzle embeddings")),
    ("training_flops", Column("training", "flops", "matrix products of the whole training")),
    ("inference_flops", Column("per answer", "flops", "with all supervision steps")),
    ("device_hours", Column("device-hours", "hours", "compiling and evaluating included")),
    ("throughput", Column("samples/s", "count", "while it trained")),
    (
        "peak_memory_bytes",
        Column("peak memory", "memory", "of the device; on a CPU of the whole process, compiling included"),
    ),
    ("cost_usd", Column("cost", "money", "at list prices")),
    (
        _HALTS,
        Column("halts after", "number", "mean steps by the halting rule, from 95 % of full accuracy on"),
    ),
    ("halting_accuracy", Column("accuracy when halting", "accuracy", "of the answers at the halting step")),
)
"""What a configuration costs: a column of the table of runs, and how it is shown."""

_RUN: tuple[tuple[str, Column], ...] = (
    ("experiment", Column("experiment", "code")),
    ("seed", Column("seed", "count")),
    ("state", Column("state", "verdict")),
    ("test_accuracy", Column("averaged", "accuracy")),
    ("test_accuracy_unaveraged", Column("unaveraged", "accuracy")),
    ("test_cell_accuracy", Column("cells", "accuracy")),
    ("test_total", Column("test puzzles", "count")),
    ("val_accuracy", Column("validation", "accuracy")),
    ("best_step", Column("best step", "count")),
    ("steps", Column("steps", "count")),
    *(
        (name, column)
        for name, column in COSTS
        if name in ("device_hours", "throughput", "peak_memory_bytes")
    ),
    ("identity", Column("identity", "code")),
    ("reason", Column("why not finished")),
)


def finished_of(table: pd.DataFrame) -> pd.DataFrame:
    """The finished runs; all of a table from elsewhere that has no states."""
    return table[table["state"] == FINISHED] if "state" in table else table


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """The finished runs with an accuracy."""
    done = finished_of(table)
    return done[done["test_accuracy"].notna()] if "test_accuracy" in done else done.iloc[:0]


def mean(runs: pd.DataFrame, column: str) -> float | None:
    """Over the runs that have a number there."""
    return number(pd.to_numeric(runs[column], errors="coerce").mean()) if column in runs else None


def tells_apart(runs: pd.DataFrame, column: str) -> bool:
    """Whether the column differs between runs, by more than a hundredth where it is a number."""
    if column not in runs:
        return False
    values = pd.to_numeric(runs[column], errors="coerce").dropna()
    return bool(len(values) and values.max() > 1.01 * values.min())


def configurations(
    names: Sequence[str],
    runs: pd.DataFrame,
    summaries: Mapping[str, SeedSummary],
    unaveraged: Mapping[str, SeedSummary],
    changed: Mapping[str, str],
    costs: Sequence[tuple[str, Column]],
    *,
    folded: bool = False,
    probability: Mapping[str, float | None] | None = None,
) -> Table:
    """A row for each of `names`, run or not, with means over its finished runs.

    `summaries` and `unaveraged` have their intervals. The steps under the halting rule are shown where its
    answers keep the accuracy of all steps. `changed`: name -> what it changes. `probability`: of being on a
    frontier, which the caption must name.
    """
    finished = finished_of(runs)
    rows = []
    for name in names:
        done = finished[finished["experiment"] == name]
        found, current = summaries.get(name), unaveraged.get(name)
        full = found.mean if found else mean(done, "test_accuracy")
        kept = keeps(mean(done, "halting_accuracy"), full)
        rows.append(
            (
                name,
                changed.get(name),
                len(done) or None,
                full,
                found.interval if found else None,
                mean(done, "test_accuracy_unaveraged"),
                current.interval if current else None,
                mean(done, "test_cell_accuracy"),
                *(mean(done, name) if kept or name != _HALTS else None for name, _ in costs),
                (probability or {}).get(name),
            )
        )
    columns = (
        Column("experiment", "code"),
        Column("changes"),
        Column("seeds", "count", "finished runs"),
        Column(
            "averaged", "accuracy", "test puzzles with every cell right; the weights of the run's headline"
        ),
        Column("95 % interval", "interval", "in per cent, of the mean over seeds"),
        Column("unaveraged", "accuracy", "the same checkpoints without weight averaging"),
        Column("95 % interval", "interval", "in per cent, of the mean over seeds, unaveraged"),
        Column("cells", "accuracy", "test cells that are right"),
        *(column for _, column in costs),
        Column(
            "P(frontier)", "share", "that it is on the frontier of true accuracy against training compute"
        ),
    )
    methods = dict.fromkeys(each.interval.method for each in summaries.values() if each.interval)
    note = f"Intervals by {joined(list(methods))}." if methods else ""
    if seeds := common_seeds(measured(runs)):
        note = f"Means at {seeds_in_words(seeds)}. {note}".strip()
    return Table("Configurations", columns, tuple(rows), note, folded).without_empty_columns()


def every_run(runs: pd.DataFrame) -> Table:
    """A row a run, in whatever state."""
    shown = [(name, column) for name, column in _RUN if name in runs]
    short = runs.assign(identity=runs["identity"].astype("str").str[:8]) if "identity" in runs else runs
    rows = tuple(
        tuple(None if pd.isna(row[name]) else row[name] for name, _ in shown)
        for row in short.to_dict("records")
    )
    return Table("Every run", tuple(column for _, column in shown), rows, folded=True).without_empty_columns()


def parameters(fit: Fit) -> Table:
    """The numbers of a law."""
    rows = tuple(
        (each.name, each.value, each.interval, each.interval.method if each.interval else None)
        for each in fit.parameters
    )
    columns = (
        Column("parameter", "code"),
        Column("value", "number"),
        Column("95 % interval", "plain interval"),
        Column("interval by"),
    )
    return Table("Parameters", columns, rows, note="In the units of the x axis.")


def choices(fit: Fit) -> Table:
    """The exponent under other choices of the analyst."""
    rows = tuple((each.label, each.exponent.value, each.exponent.interval) for each in fit.choices)
    columns = (Column("with"), Column("exponent", "number"), Column("95 % interval", "plain interval"))
    return Table("Exponent under other choices", columns, rows)


def held_out(fit: Fit) -> Table:
    """What was predicted and never fitted."""
    rows = tuple(
        (each.label, each.predicted, each.observed, each.interval, each.runs, "yes" if each.inside else "no")
        for each in fit.held_out
    )
    columns = (
        Column("held out", "code"),
        Column("predicted", "accuracy"),
        Column("observed", "accuracy"),
        Column("95 % interval", "interval", "of one run"),
        Column("runs", "count"),
        Column("inside"),
    )
    return Table("Predicted, never fitted", columns, rows)


def rivals(fit: Fit) -> Table:
    """The other forms that were fitted to the same runs."""
    rows = tuple(
        (
            each.formula,
            each.parameter_count,
            each.delta_aicc,
            each.extrapolation.absolute_error if each.extrapolation else None,
        )
        for each in fit.rivals
    )
    columns = (
        Column("rival form", "code"),
        Column("parameters", "count"),
        Column("AICc less that of the law", "number", "above 0 the rival explains the runs less well"),
        Column("error on the largest", "accuracy", "fitted without it; mean absolute error"),
    )
    return Table("Rival forms", columns, rows).without_empty_columns()


def comparisons(found: Sequence[Comparison], unaveraged: Sequence[Comparison] = ()) -> Table:
    """Differences, as they are compared; `unaveraged`: the same of unaveraged weights."""
    other = {each.b: each for each in unaveraged}
    rows = tuple(
        (
            f"{each.b} less {each.a}",
            f"{amount(each.runs[0], 'pair')}" if each.paired else f"{each.runs[1]} and {each.runs[0]}",
            each.difference,
            each.interval,
            other[each.b].difference if each.b in other else None,
            other[each.b].interval if each.b in other else None,
            each.claim.p_value,
            each.claim.word,
            each.seeds_to_detect,
        )
        for each in found
    )
    columns = (
        Column("compared"),
        Column("seeds"),
        Column("difference", "points", "percentage points of accuracy, averaged weights"),
        Column("95 % interval", "points interval"),
        Column("unaveraged", "points", "the difference of unaveraged weights"),
        Column("95 % interval", "points interval", "of the difference of unaveraged weights"),
        Column("p", "p", "averaged; exact rank test, corrected for the number of comparisons (Holm)"),
        Column("verdict", "verdict"),
        Column("seeds to detect", "count", "each side, to find such a difference in 4 of 5 studies"),
    )
    pairings = dict.fromkeys(each.pairing for each in found if each.pairing)
    out_of_reach = {each.claim.word for each in found} == {"too few seeds"}
    note = " ".join([*pairings, *([found[0].claim.sentence] if out_of_reach else [])])
    return Table("Comparisons", columns, rows, note).without_empty_columns()


def frontier(found: Frontier, unaveraged: Frontier | None, column: str) -> Table:
    """The configurations that may be on a frontier, the cheapest first; `unaveraged`: by those weights."""
    other = {each.configuration: each for each in unaveraged.points} if unaveraged else {}
    kind: CellKind = next((each.kind for name, each in COSTS if name == column), "number")
    rows = tuple(
        (
            each.configuration,
            each.cost,
            each.accuracy,
            each.runs,
            "knee" if each.configuration == found.knee else "on it" if each.on_frontier else "below",
            each.probability,
            each.probability_best,
            current.accuracy if (current := other.get(each.configuration)) else None,
            current.probability if current else None,
            current.probability_best if current else None,
        )
        for each in found.points
        if _may_stand(each) or _may_stand(other.get(each.configuration))
    )
    columns = (
        Column("experiment", "code"),
        Column(quantity_of(column).name.lower(), kind),
        Column("averaged", "accuracy"),
        Column("seeds", "count"),
        Column("by the means", "verdict"),
        Column("P(on the frontier)", "share"),
        Column("P(highest accuracy of all)", "share"),
        Column("unaveraged", "accuracy"),
        Column("P(on the frontier), unaveraged", "share"),
        Column("P(highest of all), unaveraged", "share"),
    )
    left = len(found.points) - len(rows)
    note = f"Probabilities: {found.noise}." + (f" {left} others have P < 1 %." if left else "")
    if unaveraged is not None and len(other) < len(found.points):
        note += " Averages of one trajectory are one run unaveraged, which stands once."
    note += f" {found.left_out[:1].upper()}{found.left_out[1:]}." if found.left_out else ""
    return Table(f"Against {quantity_of(column).name.lower()}", columns, rows, note).without_empty_columns()


def _may_stand(point: FrontierPoint | None) -> bool:
    return point is not None and (point.on_frontier or (point.probability or 0) >= 0.01)


def importance(found: Importance, unaveraged: Importance | None) -> Table:
    """What each factor explains of the differences in the logit of accuracy.

    Without p-values: families are ranges that somebody chose, and runs of one trajectory are not independent.
    """
    other = {each.factor: each for each in unaveraged.factors} if unaveraged else {}
    rows = tuple(
        (
            each.factor,
            each.freedom,
            each.share,
            other[each.factor].share if each.factor in other else None,
        )
        for each in found.factors
    )
    columns = (
        Column("family"),
        Column("degrees of freedom", "count", "that no other family has"),
        Column("share of variance", "accuracy", "omega squared: less what chance alone would give"),
        Column("share, unaveraged", "accuracy"),
    )
    note = f"Main effects leave {percent(found.unexplained)} of the variance to combinations and chance; "
    note += (
        f"residual standard deviation {found.residual_sd:.2f} logits. The seed is a factor like the others."
    )
    if found.inseparable:
        note += f" Cannot be told from the others: {', '.join(found.inseparable)}."
    return Table("Analysis of variance of the logit of test accuracy", columns, rows, note)


def listed(caption: str, columns: Sequence[tuple[str, Column]], rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table of plain records: key -> value."""
    cells = tuple(tuple(row.get(key) for key, _ in columns) for row in rows)
    return Table(caption, tuple(column for _, column in columns), cells).without_empty_columns()
