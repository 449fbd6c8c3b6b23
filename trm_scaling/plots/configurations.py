"""The rows of a table that a figure can show: configurations with their runs, means and labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trm_scaling.analysis import AccuracyRuns, SeedSummary, summarise_seeds, unaveraged
from trm_scaling.analysis.answers import counts
from trm_scaling.errors import UserError
from trm_scaling.results.columns import science_columns
from trm_scaling.results.format import amount, bracket, joined, percent, setting
from trm_scaling.results.table import names_of
from trm_scaling.results.wandb_export import parse_wandb_frame

ACCURACY = "test_accuracy"
_EXPORTED = ({"Name"}, {"name", "summary", "config"})
"""Columns that tell what Weights & Biases wrote: a runs table, or what its API gives."""
_MOST_SETTINGS = 3
"""Settings that a label has room for."""


@dataclass(frozen=True)
class Configuration:
    """One configuration with a measured run."""

    name: str
    label: str
    """What it is called on an axis."""
    x: float
    """Mean of the axis column over its runs; NaN without an axis."""
    accuracies: np.ndarray
    """(n,) one a run, fractions; of averaged weights where the run keeps an average."""
    unaveraged: float | None
    """Mean accuracy of the unaveraged weights; None where no run has both."""
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

    def runs(self, x: str) -> AccuracyRuns:
        """For a fit of accuracy against `x`. Raises UserError as `AccuracyRuns.of` does."""
        return AccuracyRuns.of_results(self.table, x)

    def values(self, column: str) -> list[np.ndarray]:
        """Of each configuration, the runs that have a value of `column`."""
        return [
            pd.to_numeric(each.rows[column], errors="coerce").dropna().to_numpy(float)
            for each in self.configurations
        ]

    def has(self, column: str) -> bool:
        """Whether any run has a value of `column`."""
        return column in self.table and any(values.size for values in self.values(column))

    def caption(self, *, runs_drawn: bool = True) -> list[str]:
        """How many runs, what the marks and the bars are, what is missing."""
        runs, count = len(self.table), len(self.configurations)
        dots = f"{runs} run{'s' * (runs != 1)} of {count} configuration{'s' * (count != 1)}. "
        dots += f"{'Small dots: runs. ' * (runs_drawn and runs > count)}Large dots: means over seeds"
        dots += (
            ", of averaged weights"
            if any(each.unaveraged is not None for each in self.configurations)
            else ""
        )
        if runs_drawn and any(each.unaveraged is not None for each in self.configurations):
            dots += "; open diamonds: the same runs without averaging"
        made_up = "made-up" in set(self.table.get("profile", pd.Series(dtype=str)).astype(str))
        summaries = [each.summary for each in self.configurations]
        return [
            *(["Made-up numbers, not results."] if made_up else []),
            f"{dots}.",
            bars(summaries),
            *self.left_out,
        ]

    def described(self) -> list[str]:
        """The means in words."""
        return [f"{each.label}: {_in_words(each)}." for each in self.configurations]


def shown(
    results: pd.DataFrame,
    *,
    axis: str | None,
    seeds: Sequence[SeedSummary] | None = None,
    labels: Mapping[str, str] | None = None,
    with_overrides: bool = False,
) -> Shown:
    """The rows of `results` with an accuracy and, where it names a column, a value of `axis`.

    `seeds` are summaries that were made before; missing ones are made. `labels`: experiment -> its label;
    by default what it changes.

    Runs with overrides are other experiments, and left out beside those that are as written, unless
    `with_overrides`: a law through them would be of two quantities.

    Raises UserError for a missing column, an accuracy that is not a fraction, runs of several profiles, and
    a table in which no run has a value.
    """
    needed = [ACCURACY, *([axis] if axis else [])]
    for column in needed:
        if column not in results:
            there = joined([str(each) for each in results.columns], most=12)
            raise UserError(f"the table has no column {column!r}; it has {there}")
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
        if axis is None:
            raise UserError("the table has no column 'experiment', and nothing else names its configurations")
        # Without names, runs at one value of the axis are replicates.
        kept = kept.assign(experiment=kept[axis].map(lambda value: f"{axis} {value:g}"))
    kept = kept.assign(experiment=kept["experiment"].astype(str))
    known = {each.configuration: each for each in seeds or ()}
    groups = {str(name): rows for name, rows in kept.groupby("experiment", sort=False)}
    if not set(groups) <= set(known):
        known = {each.configuration: each for each in summarise_seeds(AccuracyRuns.of_results(kept))} | known
    called = (labels or {}) if axis else _settings_of(groups) | dict(labels or {})
    found = []
    for name, rows in groups.items():
        x = float(rows[axis].mean()) if axis else float("nan")
        rates = rows[ACCURACY].to_numpy(float)
        found.append(
            Configuration(name, called.get(name, name), x, rates, _unaveraged(rows), known[name], rows)
        )
    if axis:
        found.sort(key=lambda each: each.x)
    apart = (
        [f"{amount(len(others), 'run')} with overrides are left out: other experiments."]
        if len(others)
        else []
    )
    return Shown(tuple(found), kept, (*_left_out(table.drop(index=kept.index), needed), *apart))


def _settings_of(groups: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Experiment -> the settings in which the experiments differ, as far as every run has them."""
    first = pd.DataFrame({name: rows.iloc[0] for name, rows in groups.items()}).T
    names = [name for name in science_columns().values() if name in first and first[name].notna().any()]
    varying = [name for name in names if first[name].astype(str).nunique() > 1]
    if not varying:
        return {}
    found = {}
    for name, row in first.iterrows():
        values = [f"{each} {setting(row[each])}" for each in varying if pd.notna(row[each])]
        found[str(name)] = f"{name}: {', '.join(values[:_MOST_SETTINGS])}" if values else str(name)
    return found


def _unaveraged(rows: pd.DataFrame) -> float | None:
    values = pd.to_numeric(unaveraged(rows), errors="coerce")
    return float(values.mean()) if values.notna().all() else None


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
    profiles = sorted(table["profile"].dropna().astype(str).unique()) if "profile" in table else []
    if len(profiles) > 1:
        raise UserError(
            f"the runs are of {len(profiles)} profiles ({', '.join(profiles)}), which are different budgets: "
            f"choose one, results[results.profile == {profiles[0]!r}]"
        )


def _left_out(rows: pd.DataFrame, needed: Sequence[str]) -> list[str]:
    if rows.empty:
        return []
    states = rows["state"].fillna("no state") if "state" in rows else pd.Series("no value", index=rows.index)
    unfinished = states.where(states != "finished", f"without {' or '.join(needed)}").astype(str)
    said = [f"{count} {state}" for state, count in Counter(unfinished).most_common()]
    return [f"Left out: {joined(said, most=3)}."]


def bars(summaries: Sequence[SeedSummary]) -> str:
    """What the intervals of `summaries` are, from what each of them is made of."""
    said = {
        "t over seeds": "t over the seeds of the configuration",
        "pooled seed variance": "the seed variance of the replicated configurations",
        "puzzles alone": "the test puzzles of one network, without seed variance",
    }
    found = Counter(each.basis for each in summaries if each.interval is not None)
    if not found:
        return "No intervals: one run each." if all(each.runs == 1 for each in summaries) else "No intervals."
    parts = [f"{said[basis]} ({count})" for basis, count in found.most_common() if basis is not None]
    return f"Bars: 95 % intervals from {joined(parts)}."


def _in_words(each: Configuration) -> str:
    seeds = f"{each.summary.runs} run{'s' * (each.summary.runs != 1)}"
    interval, told = each.summary.interval, percent(each.summary.mean)
    if interval is not None:
        low, high = interval.ends
        told += f" {bracket(f'{100 * low:.1f}', f'{100 * high:.1f}')}"
    also = "" if each.unaveraged is None else f", unaveraged {percent(each.unaveraged)}"
    return f"{told}{also} ({seeds})"


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


def rows_of_family(results: object, key: str) -> pd.DataFrame:
    """The rows whose experiment, or another of its `names`, begins with `key`, under that name.

    A run with overrides is another experiment: it keeps them in its name. All rows where no name begins
    with `key`: the experiments are then somebody's own.
    """
    table = frame_of(results)
    if "experiment" not in table:
        return table
    own: list[str | None] = []
    for called, overrides in zip(names_of(table), overrides_of(table), strict=True):
        name = next((each for each in called if each.startswith(key)), None)
        own.append(f"{name}[{overrides}]" if name and overrides and "[" not in name else name)
    if not any(own):
        return table
    found = table.assign(experiment=pd.Series(own, index=table.index, dtype=object))
    # A family's baseline comes first.
    return found[found["experiment"].notna()].sort_values(
        "experiment",
        key=lambda each: each.map(lambda name: (not name.endswith("_baseline"), name)),
        kind="stable",
    )


def overrides_of(table: pd.DataFrame) -> "pd.Series[str]":
    """What each run changes of its experiment, as text; empty where it changes nothing."""
    if "overrides" not in table:
        return pd.Series("", index=table.index)
    return table["overrides"].fillna("").astype(str)
