"""How fast the experiments of a family learn, and when their networks halt, as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from trm_scaling.analysis import (
    CurveSummary,
    HaltingSummary,
    LearningCurve,
    saving,
    summarise_curve,
    summarise_halting,
)
from trm_scaling.analysis.learning_curve import LANDMARKS
from trm_scaling.errors import UserError
from trm_scaling.experiments import Family
from trm_scaling.report.page import MISSING, Block, Cell, Column, Table
from trm_scaling.report.quantities import amount, hours, number, percent, points
from trm_scaling.report.tables import accuracy, figures, text, whole
from trm_scaling.results.curves import TEST


@dataclass(frozen=True)
class _Run:
    curve: CurveSummary
    devices: float | None


def learning(family: Family, runs: pd.DataFrame, curves: pd.DataFrame | None) -> Block:
    """`curves` are `results.curves.learning_curves` of `runs`; empty without them."""
    if curves is None or curves.empty:
        return Block("Learning")
    devices = _devices(runs)
    rows, failed, unlearned = [], [], 0
    for name in family.names:
        own = []
        for seed, curve in curves[curves["experiment"] == name].groupby("seed", dropna=False):
            try:
                own.append(_Run(_summary(curve), devices.get((name, seed))))
            except UserError as error:
                failed.append(f"The learning curve of {name}, seed {seed}, is left out: {error}.")
        unlearned += sum(not each.curve.landmarks for each in own)
        if own:
            rows.append(_row(name, own))
    if not rows:
        return Block("Learning", points=tuple(failed))
    note = (
        "Means over the runs, by accuracy on validation. A share is of each run's own final accuracy, which "
        "a run that ends low reaches sooner. Device-hours include compiling and evaluating. Accuracy on "
        "training puzzles is not recorded, so the gap to it is not known."
    )
    if unlearned:
        note += f" {amount(unlearned, 'run')} ended at 0 and reached no share: not in those means."
    table = Table("How fast they learn", _columns(), tuple(rows), note=note)
    return Block("Learning", tables=(table,), points=tuple(failed))


def _columns() -> tuple[Column, ...]:
    return (
        Column("experiment"),
        Column("runs", numeric=True, about="finished, with a learning curve"),
        *(Column(f"steps to {percent(share, 0)}", numeric=True) for share in LANDMARKS),
        *(Column(f"device-hours to {percent(share, 0)}", numeric=True) for share in LANDMARKS),
        Column("peak", numeric=True, about="highest validation accuracy"),
        Column("peak at step", numeric=True),
        Column("decline after it", "points", numeric=True, about="peak less final validation accuracy"),
    )


def _row(name: str, runs: Sequence[_Run]) -> tuple[Cell, ...]:
    steps, spent = [], []
    for share in LANDMARKS:
        steps.append(whole(_mean([_steps_to(each, share) for each in runs])))
        used = _mean([_hours_to(each, share) for each in runs])
        spent.append(figures(used, hours(used)))
    decline = _mean([each.curve.decline for each in runs])
    return (
        text(name, mono=True),
        whole(len(runs)),
        *steps,
        *spent,
        accuracy(_mean([each.curve.peak for each in runs])),
        whole(_mean([each.curve.peak_step for each in runs])),
        figures(decline, points(decline).lstrip("+")),
    )


def _summary(curve: pd.DataFrame) -> CurveSummary:
    ordered = curve.dropna(subset=["step", "val_accuracy"]).sort_values("step")
    seconds = ordered["seconds"].to_numpy(float, na_value=float("nan")) if "seconds" in ordered else None
    return summarise_curve(
        LearningCurve.of(ordered["step"].to_numpy(float), ordered["val_accuracy"].to_numpy(float), seconds)
    )


def _steps_to(run: _Run, share: float) -> float | None:
    return next((each.step for each in run.curve.landmarks if each.share == share), None)


def _hours_to(run: _Run, share: float) -> float | None:
    seconds = next((each.seconds for each in run.curve.landmarks if each.share == share), None)
    return None if seconds is None or run.devices is None else seconds * run.devices / 3600


def _devices(runs: pd.DataFrame) -> Mapping[tuple[Any, Any], float]:
    """Devices of each experiment and seed; of several runs that share them, the part of one."""
    if not {"experiment", "seed", "device_count"} <= set(runs):
        return {}
    found = {}
    for row in runs.to_dict("records"):
        if (count := number(row["device_count"])) is not None:
            found[row["experiment"], row["seed"]] = count / (number(row.get("runs_together")) or 1.0)
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def halting(family: Family, runs: pd.DataFrame, histograms: pd.DataFrame | None) -> Block:
    """`histograms` are `results.curves.halting_histograms` of `runs`; empty without one of the test split."""
    if histograms is None or histograms.empty:
        return Block("Halting")
    tested = histograms[histograms["at"] == TEST].sort_values("supervision_step")
    rows = []
    for name in family.names:
        own = [
            summarise_halting(counts)
            for _, run in tested[tested["experiment"] == name].groupby("seed", dropna=False)
            if sum(counts := [int(count) for count in run["count"].dropna()]) > 0
        ]
        if own:
            rows.append(_halting_row(name, own, runs))
    if not rows:
        return Block("Halting")
    columns = (
        Column("experiment"),
        Column("runs", numeric=True),
        Column("steps allowed", numeric=True),
        Column("halts at step", numeric=True, about="mean over test puzzles, then over runs"),
        Column("at the limit", numeric=True, about="share that uses every step: halts at the last, or never"),
        Column(
            "steps saved",
            numeric=True,
            about="share of the supervision steps; only where halting keeps 95 % of the accuracy",
        ),
        Column("accuracy when halting", numeric=True, about="of the answers at the halting step"),
        Column("accuracy of all steps", numeric=True),
    )
    note = "By the halting logit on test puzzles. Every other accuracy here is after the last step allowed."
    of_halting = any(field.startswith("arch.halt_") for field in family.values)
    return Block("Halting", tables=(Table("When they halt", columns, tuple(rows), note, not of_halting),))


def _halting_row(name: str, own: Sequence[HaltingSummary], runs: pd.DataFrame) -> tuple[Cell, ...]:
    step = _mean([each.mean for each in own])
    most = {each.most_steps for each in own}
    of_run = runs[runs["experiment"] == name]
    when_halting, in_full = (_mean_of(of_run, column) for column in ("halting_accuracy", "test_accuracy"))
    at_limit = _mean([each.at_limit for each in own])
    saved = saving(_mean([each.saved for each in own]), when_halting, in_full)
    return (
        text(name, mono=True),
        whole(len(own)),
        whole(most.pop()) if len(most) == 1 else MISSING,
        figures(step, f"{step:.2f}"),
        accuracy(at_limit),
        accuracy(saved),
        accuracy(when_halting),
        accuracy(in_full),
    )


def _mean_of(runs: pd.DataFrame, column: str) -> float | None:
    return _mean([number(value) for value in runs[column]]) if column in runs else None
