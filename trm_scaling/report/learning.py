"""How fast the experiments of a family learn, and when their networks halt, as tables."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from trm_scaling.analysis import HaltingSummary, LearningCurve, saving, summarise_curve, summarise_halting
from trm_scaling.analysis.learning_curve import LANDMARKS
from trm_scaling.errors import UserError
from trm_scaling.experiments import Family
from trm_scaling.report.page import Block, Column
from trm_scaling.report.tables import listed, mean
from trm_scaling.results.curves import TEST
from trm_scaling.results.format import amount, number


def learning(family: Family, runs: pd.DataFrame, curves: pd.DataFrame | None) -> Block:
    """`curves` are `results.curves.learning_curves` of `runs`; empty without them."""
    if curves is None or curves.empty:
        return Block("Learning")
    devices = _devices(runs)
    rows: list[dict[str, Any]] = []
    failed, unlearned = [], 0
    for name in family.names:
        found: list[dict[str, float]] = []
        for seed, curve in curves[curves["experiment"] == name].groupby("seed", dropna=False):
            try:
                found.append(_summary(curve, devices.get((name, seed))))
            except UserError as error:
                failed.append(f"The learning curve of {name}, seed {seed}, is left out: {error}.")
        unlearned += sum(f"steps {LANDMARKS[0]}" not in each for each in found)
        if found:
            means = {str(key): value for key, value in pd.DataFrame(found).mean().items()}
            rows.append({"experiment": name, "runs": len(found), **means})
    if not rows:
        return Block("Learning", points=tuple(failed))
    note = "Means over the runs, on validation. A share is of each run's own final accuracy."
    if unlearned:
        note += f" {amount(unlearned, 'run')} ended at 0 and reached no share: not in those means."
    columns = (
        ("experiment", Column("experiment", "code")),
        ("runs", Column("runs", "count", "finished, with a learning curve")),
        *((f"steps {share}", Column(f"steps to {100 * share:.0f} %", "count")) for share in LANDMARKS),
        *((f"hours {share}", Column(f"device-hours to {100 * share:.0f} %", "hours")) for share in LANDMARKS),
        ("peak", Column("peak", "accuracy", "highest validation accuracy")),
        ("peak_step", Column("peak at step", "count")),
        ("decline", Column("decline after it", "points", "peak less final accuracy, in points")),
    )
    return Block("Learning", tables=(listed("How fast they learn", columns, rows),), points=(note, *failed))


def _summary(curve: pd.DataFrame, devices: float | None) -> dict[str, float]:
    """Peak, decline and landmarks of one run. Raises UserError for a curve that is none."""
    ordered = curve.dropna(subset=["step", "val_accuracy"]).sort_values("step")
    seconds = ordered["seconds"].to_numpy(float, na_value=float("nan")) if "seconds" in ordered else None
    found = summarise_curve(
        LearningCurve.of(ordered["step"].to_numpy(float), ordered["val_accuracy"].to_numpy(float), seconds)
    )
    row = {"peak": found.peak, "peak_step": found.peak_step, "decline": found.decline}
    for each in found.landmarks:
        row[f"steps {each.share}"] = each.step
        if each.seconds is not None and devices is not None:
            row[f"hours {each.share}"] = each.seconds * devices / 3600
    return row


def _devices(runs: pd.DataFrame) -> dict[tuple[Any, Any], float]:
    """Devices of each experiment and seed; of several runs that share them, the part of one."""
    if not {"experiment", "seed", "device_count"} <= set(runs):
        return {}
    found = {}
    for row in runs.to_dict("records"):
        if (count := number(row["device_count"])) is not None:
            found[row["experiment"], row["seed"]] = count / (number(row.get("runs_together")) or 1.0)
    return found


def halting(family: Family, runs: pd.DataFrame, histograms: pd.DataFrame | None) -> Block:
    """`histograms` are `results.curves.halting_histograms` of `runs`; empty without one of the test split."""
    if histograms is None or histograms.empty:
        return Block("Halting")
    tested, rows = histograms[histograms["at"] == TEST].sort_values("supervision_step"), []
    for name in family.names:
        own = [
            summarise_halting(counts)
            for _, run in tested[tested["experiment"] == name].groupby("seed", dropna=False)
            if sum(counts := [int(count) for count in run["count"].dropna()]) > 0
        ]
        if own:
            rows.append({"experiment": name, **_halting_row(own, runs[runs["experiment"] == name])})
    if not rows:
        return Block("Halting")
    columns = (
        ("experiment", Column("experiment", "code")),
        ("runs", Column("runs", "count")),
        ("allowed", Column("steps allowed", "count")),
        ("step", Column("halts at step", "number", "mean over test puzzles, then over runs")),
        ("at_limit", Column("at the limit", "accuracy", "share that uses every step")),
        ("when_halting", Column("accuracy when halting", "accuracy", "of the answers at the halting step")),
        ("full", Column("accuracy of all steps", "accuracy")),
        ("saved", Column("steps saved", "accuracy", "shown from 95 % of the full accuracy on")),
    )
    note = "By the halting logit on test puzzles. Every other accuracy here is after the last step allowed."
    return Block("Halting", tables=(listed("When they halt", columns, rows),), points=(note,))


def _halting_row(own: Sequence[HaltingSummary], of_run: pd.DataFrame) -> dict[str, float | None]:
    def average(name: str) -> float:
        return sum(getattr(each, name) for each in own) / len(own)

    halted, full = mean(of_run, "halting_accuracy"), mean(of_run, "test_accuracy")
    most = {each.most_steps for each in own}
    return {
        "runs": len(own),
        "allowed": most.pop() if len(most) == 1 else None,
        "step": average("mean"),
        "at_limit": average("at_limit"),
        "when_halting": halted,
        "full": full,
        "saved": saving(average("saved"), halted, full),
    }
