"""The rows of a table that a figure can show, as configurations with their runs and their means."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trm_scaling.analysis import AccuracyRuns, SeedSummary, summarise_seeds
from trm_scaling.analysis.answers import counts
from trm_scaling.errors import UserError
from trm_scaling.plots.rows import overrides_of

ACCURACY = "test_accuracy"
_COUNTS = ("test_solved", "test_total")
_SAID = 2
"""Reasons that a caption has room for."""


@dataclass(frozen=True)
class Configuration:
    """One configuration with a measured run."""

    name: str
    label: str
    """What stands on an axis."""
    x: float
    """Mean of the axis column over its runs; NaN where the axis is no number."""
    accuracies: np.ndarray
    """(n,) one a run, fractions."""
    summary: SeedSummary
    rows: pd.DataFrame


@dataclass(frozen=True)
class Shown:
    """What a figure shows, and what it had to leave out."""

    configurations: tuple[Configuration, ...]
    """By x, else in the order of the table."""
    table: pd.DataFrame
    """The rows behind them, with columns `experiment` and `test_accuracy`."""
    left_out: tuple[str, ...]
    """Sentences for the caption."""

    @property
    def names(self) -> set[str]:
        return {each.name for each in self.configurations}

    def runs(self, x: str) -> AccuracyRuns:
        """For a fit of accuracy against `x`. Raises UserError as `AccuracyRuns.of` does."""
        return _accuracy_runs(self.table, x)

    def caption(self, *, runs_drawn: bool = True) -> list[str]:
        """How many runs, what the bars are, what is missing."""
        runs, count = len(self.table), len(self.configurations)
        bars = _bars([each.summary for each in self.configurations])
        dots = (
            f"{runs} run{'s' * (runs != 1)} of {count} configuration{'s' * (count != 1)}: "
            f"{'faint dots are runs, large ones ' if runs_drawn and runs > count else ''}{bars}."
        )
        made_up = "made-up" in set(self.table.get("profile", pd.Series(dtype=str)).astype(str))
        return [*(["Made-up numbers, not results."] if made_up else []), dots, *self.left_out]

    def described(self) -> list[str]:
        """The means in words."""
        return [f"{each.label}: {_in_words(each.summary)}." for each in self.configurations]


def shown(
    results: pd.DataFrame,
    *,
    axis: str | None,
    seeds: Sequence[SeedSummary] | None = None,
    label: Callable[[pd.Series], str] | None = None,
    with_overrides: bool = False,
) -> Shown:
    """The rows of `results` with an accuracy and, where it names a column, a value of `axis`.

    Runs with overrides are other experiments, and left out beside those that are as written, unless
    `with_overrides`: a law through them would be of two quantities.

    `seeds` are summaries that were made before; those that are missing are made. `label` writes a
    configuration's label from its first row.

    Raises UserError for a missing column, an accuracy that is no fraction, runs of several profiles, and
    a table in which no run has a value.
    """
    needed = [ACCURACY, *([axis] if axis and axis != "experiment" else [])]
    for column in needed:
        if column not in results:
            raise UserError(
                f"the table has no column {column!r}; it has {', '.join(map(str, results.columns[:12]))}"
                f"{', ...' if len(results.columns) > 12 else ''}"
            )
    # Read from a file, a table lies in as many pieces as it has columns; its copy is in one.
    table = results.copy().assign(**{column: _numbers(results, column) for column in needed})
    changed = overrides_of(table) != ""
    if with_overrides or changed.all():
        changed[:] = False
    others, table = table[changed], table[~changed]
    kept = table[table[needed].notna().all(axis=1) & counts(table)]
    if kept.empty:
        raise UserError(
            f"none of the {len(table)} runs has a value of {' and '.join(needed)}: nothing to draw"
        )
    _check_fractions(kept[ACCURACY])
    _check_profiles(kept)
    if "experiment" not in kept:
        kept = kept.assign(experiment=_named_by(kept, axis))
    kept = kept.assign(experiment=kept["experiment"].astype(str))
    known = {each.configuration: each for each in seeds or ()}
    names = kept["experiment"].unique().tolist()
    if not set(names) <= set(known):
        known = {each.configuration: each for each in summarise_seeds(_accuracy_runs(kept, None))} | known
    found = []
    for name in names:
        rows = kept[kept["experiment"] == name]
        x = float(rows[axis].mean()) if axis and axis != "experiment" else float("nan")
        text = label(rows.iloc[0]) if label else name
        found.append(Configuration(name, text, x, rows[ACCURACY].to_numpy(float), known[name], rows))
    if axis and axis != "experiment":
        found.sort(key=lambda each: each.x)
    return Shown(tuple(found), kept, (*_left_out(table.drop(index=kept.index), needed), *_said_of(others)))


def _said_of(others: pd.DataFrame) -> list[str]:
    if others.empty:
        return []
    one = len(others) == 1
    return [
        f"{len(others)} run{'s' * (not one)} with overrides {'is' if one else 'are'} left out, being "
        f"{'another experiment' if one else 'other experiments'}."
    ]


def _numbers(table: pd.DataFrame, column: str) -> pd.Series:
    try:
        return pd.to_numeric(table[column]).astype(float).replace([np.inf, -np.inf], np.nan)
    except (TypeError, ValueError) as error:
        raise UserError(f"column {column!r} is not a column of numbers: {error}") from None


def _check_fractions(accuracy: pd.Series) -> None:
    if (most := accuracy.max()) > 1:
        hint = "in per cent, it seems: divide it by 100" if most <= 100 else "is it a count?"
        raise UserError(f"column {ACCURACY!r} reaches {most:g}, and accuracy is a fraction of 1; {hint}")
    if (least := accuracy.min()) < 0:
        raise UserError(f"column {ACCURACY!r} holds {least:g}, and no accuracy is below 0")


def _check_profiles(table: pd.DataFrame) -> None:
    if "profile" not in table:
        return
    profiles = sorted(table["profile"].dropna().astype(str).unique())
    if len(profiles) > 1:
        raise UserError(
            f"the runs are of {len(profiles)} profiles ({', '.join(profiles)}), which are different budgets: "
            f"choose one, results[results.profile == {profiles[0]!r}]"
        )


def _named_by(table: pd.DataFrame, axis: str | None) -> pd.Series:
    """Without names of experiments, runs at one value of the axis are replicates."""
    if axis is None:
        raise UserError("the table has no column 'experiment', and nothing else names its configurations")
    return table[axis].map(lambda value: f"{axis} {value:g}")


def _accuracy_runs(table: pd.DataFrame, x: str | None) -> AccuracyRuns:
    counted = all(name in table and table[name].notna().all() for name in _COUNTS)
    seeded = "seed" in table and table["seed"].notna().all()
    # Summaries over seeds need no x, and an axis may well hold a 0.
    columns = table if x else table.assign(_x=1.0)
    return AccuracyRuns.of(
        columns,
        x or "_x",
        configuration="experiment",
        seed="seed" if seeded else None,
        solved="test_solved",
        total="test_total",
        accuracy=None if counted else ACCURACY,
    )


def _left_out(rows: pd.DataFrame, needed: Sequence[str]) -> list[str]:
    if rows.empty:
        return []
    states = rows["state"].fillna("no state") if "state" in rows else pd.Series("no value", index=rows.index)
    unfinished = states.where(states != "finished", f"without {' or '.join(needed)}").astype(str)
    common = Counter(unfinished).most_common()
    said = ", ".join(f"{count} {state}" for state, count in common[:_SAID])
    more = sum(count for _, count in common[_SAID:])
    return [f"Left out: {said}{f', {more} others' if more else ''}."]


def _bars(summaries: Sequence[SeedSummary]) -> str:
    single = [each for each in summaries if each.runs == 1]
    if not any(each.interval for each in summaries):
        return "means" if any(each.runs > 1 for each in summaries) else "one each, so no intervals"
    if not single:
        return "means with 95 % t-intervals over seeds"
    if len(single) < len(summaries):
        return (
            "means with 95 % t-intervals over seeds "
            f"({len(single)} with one seed borrow the variance of the others)"
        )
    return "one each, with the 95 % interval of that one network over puzzles; seeds are not in it"


def _in_words(summary: SeedSummary) -> str:
    seeds = f"{summary.runs} run{'s' * (summary.runs != 1)}"
    if summary.interval is None:
        return f"{100 * summary.mean:.1f} % ({seeds})"
    low, high = summary.interval.ends
    return f"{100 * summary.mean:.1f} % ({100 * low:.1f} to {100 * high:.1f} %, {seeds})"
