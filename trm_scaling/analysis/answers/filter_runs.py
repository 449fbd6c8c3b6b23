"""The rows of a table of runs that an analysis can use, and why the others are left out."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from trm_scaling.analysis.fits.sensitivity import with_sizes
from trm_scaling.analysis.pairing import ACCURACY, at_common_seeds, one_of_each_trajectory, unaveraged
from trm_scaling.analysis.runs import AccuracyRuns
from trm_scaling.analysis.seeds import PooledVariance, pooled_variance
from trm_scaling.errors import UserError
from trm_scaling.results.counted import counts, left_out
from trm_scaling.results.device_time import timed_alone

_SOME = 8


@dataclass(frozen=True)
class FilteredRuns:
    """What is left of a table."""

    table: pd.DataFrame
    excluded: tuple[str, ...]
    """`exp01b, seed 3: failed: non-finite loss`."""

    def at_common_seeds(self) -> "FilteredRuns":
        """The runs at the seeds that all experiments have, where they have any."""
        return FilteredRuns(at_common_seeds(self.table), self.excluded)

    def unaveraged(self) -> "FilteredRuns | None":
        """The same with the accuracy of unaveraged weights, a trajectory once; None where a run lacks it, or
        where no run keeps an average."""
        table, current = self.table, unaveraged(self.table)
        if current.isna().any() or current.equals(table[ACCURACY].astype(float)):
            return None
        table = table.assign(**{ACCURACY: current})
        if "test_total" in table:
            table = table.assign(test_solved=(current * table["test_total"]).round())
        return FilteredRuns(one_of_each_trajectory(table), self.excluded)

    def runs(self, x: str | None = None, y: str = ACCURACY) -> AccuracyRuns:
        """Accuracy `y` against the column `x`, of the runs that have a positive value there; of all without.

        A time counts only where the machine did nothing else. Raises UserError where there is no such run,
        or where a configuration has one seed twice.
        """
        if x is None:
            return AccuracyRuns.of_results(self.table, y=y)
        table, left_out = timed_alone(self.table, x)
        at = table.get(x)
        if at is None or not (at > 0).any():
            raise UserError(
                f"none of the {len(self.table)} runs has a value of {x} above 0"
                + (f" that counts; {left_out}" if left_out else "")
            )
        return AccuracyRuns.of_results(table[at > 0], x, y)


def filter_runs(table: pd.DataFrame) -> FilteredRuns:
    """The rows of `table` with an accuracy, of one profile.

    Raises UserError for a table without the columns `experiment` and `test_accuracy`, and for several
    profiles in one table: a law through two budgets is no law.
    """
    for column in ("experiment", ACCURACY):
        if column not in table:
            some = ", ".join(map(str, table.columns[:_SOME])) or "none"
            raise UserError(f"the table has no column {column}; its first ones are {some}")
    table = table.assign(**{ACCURACY: table[ACCURACY].replace([np.inf, -np.inf], np.nan)})
    kept = table[ACCURACY].notna() & counts(table)
    excluded = tuple(left_out(row, (ACCURACY,)) for row in table[~kept].to_dict("records"))
    found = table[kept]
    if "profile" in found and (profiles := sorted(found["profile"].dropna().unique())) and len(profiles) > 1:
        raise UserError(
            f"the runs come from {len(profiles)} profiles, {', '.join(map(str, profiles))}, which are "
            "different budgets: choose one (--profile)"
        )
    return FilteredRuns(with_sizes(found), excluded)


@dataclass(frozen=True)
class StudyVariance:
    """How much seeds differ over all configurations of a study."""

    averaged: PooledVariance | None = None
    unaveraged: PooledVariance | None = None


def seed_variance(table: pd.DataFrame) -> StudyVariance:
    """The seed variance over all configurations of `table`, a row a run of one profile.

    None where none was run with two seeds, and where one has a seed twice, which its own analysis refuses.
    """

    def pooled(runs: FilteredRuns | None) -> PooledVariance | None:
        if runs is None:
            return None
        try:
            return pooled_variance(runs.runs())
        except UserError:
            return None

    try:
        runs = filter_runs(table)
    except UserError:
        return StudyVariance()
    return StudyVariance(pooled(runs), pooled(runs.unaveraged()))
