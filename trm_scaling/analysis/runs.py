"""The tables that analysis is called with, one row a run, checked once and held as arrays.

Shapes: n runs, k configurations.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from trm_scaling.errors import UserError

Table = pd.DataFrame | Mapping[str, Any]
"""Columns by name."""


@dataclass(frozen=True)
class Configurations:
    """Which configuration each run is a replicate of."""

    names: tuple[str, ...]
    """(k,), sorted."""
    codes: np.ndarray
    """(n,) int: index into `names`."""

    @classmethod
    def of(cls, labels: Sequence[object] | np.ndarray) -> Self:
        names, codes = np.unique([str(label) for label in labels], return_inverse=True)
        return cls(tuple(str(name) for name in names), codes)

    def take(self, rows: np.ndarray) -> "Configurations":
        """Of the runs `rows` alone."""
        return Configurations.of([self.names[code] for code in self.codes[rows]])

    @property
    def members(self) -> list[np.ndarray]:
        """k arrays of rows."""
        return [np.flatnonzero(self.codes == code) for code in range(len(self.names))]


@dataclass(frozen=True)
class AccuracyRuns:
    """Exact accuracy of n runs against one quantity x."""

    configurations: Configurations
    x: np.ndarray
    """(n,) float > 0: parameters, FLOPs, training puzzles, a loss, a cost."""
    accuracy: np.ndarray
    """(n,) float, a fraction."""
    total: np.ndarray | None
    """(n,) float: puzzles behind each accuracy; None when only rates are known."""

    @classmethod
    def of(
        cls,
        table: Table,
        x: str,
        *,
        configuration: str = "configuration",
        seed: str | None = "seed",
        solved: str = "solved",
        total: str = "total",
        accuracy: str | None = None,
    ) -> Self:
        """The runs in `table`; arguments name columns.

        Accuracy is `solved / total`, or the column `accuracy` (then without counts) when one is named.

        Raises UserError for a column that is missing, for missing or impossible values, and for a
        (configuration, seed) that stands there twice: one run under two names is not a replicate.
        """
        configurations = _configurations(table, configuration, seed)
        if accuracy is not None:
            rate = _numbers(table, accuracy, 0.0)
            counts = None
        else:
            counts = _numbers(table, total, 1.0)
            solved_counts = _numbers(table, solved, 0.0)
            if (solved_counts > counts).any():
                raise UserError(f"column {solved} is larger than {total} in some rows: is it a count?")
            rate = solved_counts / counts
        if (rate > 1).any():
            raise UserError(f"column {accuracy} reaches {rate.max():g}: give accuracy as a fraction of 1")
        return cls(configurations, _positive(table, x), rate, counts)

    @classmethod
    def of_results(cls, table: pd.DataFrame, x: str | None = None, y: str = "test_accuracy") -> Self:
        """Column `y` of a table of runs (`results.columns`) against column `x`, or against none.

        With counts, and with seeds, where every run has them. Raises UserError as `of` does.
        """
        solved, total = (f"{y.removesuffix('accuracy')}{word}" for word in ("solved", "total"))
        has_all = {name for name in ("seed", solved, total) if name in table and table[name].notna().all()}
        return cls.of(
            table if x else table.assign(_one=1.0),
            x or "_one",
            configuration="experiment",
            seed="seed" if "seed" in has_all else None,
            solved=solved,
            total=total,
            accuracy=None if {solved, total} <= has_all else y,
        )

    def take(self, rows: np.ndarray) -> "AccuracyRuns":
        """The runs `rows` alone (bool mask or indices, repeats allowed)."""
        total = None if self.total is None else self.total[rows]
        return AccuracyRuns(self.configurations.take(rows), self.x[rows], self.accuracy[rows], total)

    def with_accuracy(self, accuracy: np.ndarray) -> "AccuracyRuns":
        """The same runs with other outcomes."""
        return replace(self, accuracy=accuracy)

    def collapsed(self) -> "AccuracyRuns":
        """One row a configuration: mean accuracy, geometric mean of x, all its puzzles."""
        members = self.configurations.members
        return AccuracyRuns(
            Configurations(self.configurations.names, np.arange(len(members))),
            np.array([_geometric_mean(self.x[rows]) for rows in members]),
            np.array([self.accuracy[rows].mean() for rows in members]),
            None if self.total is None else np.array([self.total[rows].sum() for rows in members]),
        )


@dataclass(frozen=True)
class LossRuns:
    """Loss, or a share of errors, at n points: against size, data and recursion.

    A run may have several points, one an evaluation: `cluster` then says which belong together.
    """

    configurations: Configurations
    loss: np.ndarray
    """(n,) float > 0."""
    params: np.ndarray
    """(n,) float > 0."""
    data: np.ndarray | None
    """(n,) float > 0: tokens, puzzles or samples; None when all runs had the same."""
    recursions: np.ndarray | None
    """(n,) float > 0: passes through the network; None when all runs had the same."""
    cluster: np.ndarray | None = None
    """(n,) int: points with equal numbers are of one run, and their noise is shared. None: each its own."""

    @classmethod
    def of(
        cls,
        table: Table,
        *,
        loss: str = "loss",
        params: str = "params",
        data: str | None = None,
        recursions: str | None = None,
        configuration: str = "configuration",
        seed: str | None = "seed",
    ) -> Self:
        """The points in `table`; arguments name columns.

        Rows of one configuration and seed are the points of one run where their inputs differ. Without
        seeds, rows of one configuration are points of one run where any of their inputs differ, else seeds.

        Raises UserError as `AccuracyRuns.of` does, and where a run has one point twice.
        """
        configurations = _configurations(table, configuration, None)
        inputs = [_positive(table, name) for name in (params, data, recursions) if name is not None]
        cells = _cells(configurations, inputs)
        if seed is not None:
            runs = Configurations.of(list(zip(configurations.codes, _column(table, seed), strict=True)))
            _refuse_repeats(configurations, _column(table, seed), cells.codes)
            cluster = runs.codes
        else:
            alone = len(cells.names) == len(configurations.names)
            cluster = np.arange(configurations.codes.size) if alone else configurations.codes
        rest = iter(inputs[1:])
        return cls(
            configurations,
            _positive(table, loss),
            inputs[0],
            None if data is None else next(rest),
            None if recursions is None else next(rest),
            cluster if np.unique(cluster).size < cluster.size else None,
        )

    @property
    def cells(self) -> Configurations:
        """Which points are replicates of each other: of one configuration, at the same inputs."""
        columns = (self.params, self.data, self.recursions)
        return _cells(self.configurations, [column for column in columns if column is not None])

    @property
    def units(self) -> Configurations:
        """The points that are resampled together: runs with several points, else configurations."""
        return self.configurations if self.cluster is None else Configurations.of(self.cluster)

    def take(self, rows: np.ndarray) -> "LossRuns":
        """The points `rows` alone (bool mask or indices, repeats allowed)."""
        optional = (self.data, self.recursions, self.cluster)
        data, recursions, cluster = (None if column is None else column[rows] for column in optional)
        configurations = self.configurations.take(rows)
        return LossRuns(configurations, self.loss[rows], self.params[rows], data, recursions, cluster)

    def collapsed(self) -> "LossRuns":
        """One row a configuration and set of inputs: the geometric mean of its replicates."""
        cells = self.cells
        first = np.array([rows[0] for rows in cells.members])
        of = self.configurations.codes[first]
        several = np.unique(of).size < of.size
        return replace(
            self.take(first),
            loss=np.array([_geometric_mean(self.loss[rows]) for rows in cells.members]),
            cluster=of if several else None,
        )

    @property
    def ln_compute(self) -> np.ndarray:
        """(n,) ln of params x data x recursions: which runs are the largest."""
        extra = [np.log(column) for column in (self.data, self.recursions) if column is not None]
        return np.asarray(np.log(self.params) + sum(extra))


def _geometric_mean(values: np.ndarray) -> float:
    """Exactly the value where all are equal, which rounding would not give."""
    same = (values == values[0]).all()
    return float(values[0] if same else np.exp(np.log(values).mean()))


def _cells(configurations: Configurations, inputs: Sequence[np.ndarray]) -> Configurations:
    """Rows of one configuration whose inputs are the same to a part in a million."""
    keys = np.column_stack([configurations.codes, *(np.round(np.log(column), 6) for column in inputs)])
    _, codes = np.unique(keys, axis=0, return_inverse=True)
    return Configurations(tuple(map(str, range(codes.max() + 1))), codes.ravel())


def _column(table: Table, name: str) -> np.ndarray:
    if name not in table:
        raise UserError(f"the table has no column {name!r}: name the one to use")
    return np.asarray(table[name])


def _numbers(table: Table, name: str, least: float) -> np.ndarray:
    try:
        values = _column(table, name).astype(float)
    except (TypeError, ValueError) as error:
        raise UserError(f"column {name!r} is not a column of numbers: {error}") from None
    if bad := int((~np.isfinite(values)).sum()):
        raise UserError(
            f"column {name!r} has no value in {bad} of {values.size} rows: leave those runs out (--where)"
        )
    if (values < least).any():
        raise UserError(f"column {name!r} holds {values.min():g}: nothing below {least:g} is possible there")
    return values


def _positive(table: Table, name: str) -> np.ndarray:
    values = _numbers(table, name, 0.0)
    if (values == 0).any():
        raise UserError(
            f"column {name!r} holds 0, which has no logarithm: leave those runs out (--where '{name}>0')"
        )
    return values


def _configurations(table: Table, configuration: str, seed: str | None) -> Configurations:
    labels = _column(table, configuration)
    if labels.size == 0:
        raise UserError("the table has no rows: there is nothing to analyse")
    found = Configurations.of(labels)
    if seed is not None:
        _refuse_repeats(found, _column(table, seed), np.zeros(labels.size))
    return found


def _refuse_repeats(configurations: Configurations, seeds: np.ndarray, points: np.ndarray) -> None:
    """Raise UserError where a configuration has one seed twice at one point."""
    runs = zip(configurations.codes.tolist(), map(str, seeds), points.tolist(), strict=True)
    if twice := sorted(run for run, count in Counter(runs).items() if count > 1):
        name, which = configurations.names[twice[0][0]], twice[0][1]
        raise UserError(
            f"configuration {name} with seed {which} stands in the table more than once: "
            "one run under two names is not a replicate, so keep one of them"
        )


def largest(configurations: Configurations, size: np.ndarray) -> np.ndarray:
    """Mask (n,) of the runs of the largest configuration, or of the largest tenth of twenty or more.

    Configurations of one size go together: a law that has seen one of them does not extrapolate.
    """
    means = np.bincount(configurations.codes, size) / np.bincount(configurations.codes)
    least = np.sort(means)[-max(1, means.size // 10)]
    return np.asarray(means >= least - 1e-9 * abs(least))[configurations.codes]
