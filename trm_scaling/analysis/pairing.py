"""Which runs of two configurations belong together in pairs, and the comparison that uses it.

Three things can be shared: a trajectory (the runs differ in the average alone, which training does not read),
the test puzzles, and nothing. A seed that two configurations have in common makes no pair by itself: float32
TRM is chaotic, and what two runs of one seed have in common is gone within 50 steps.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from trm_scaling.analysis.comparison import Comparison, compare, compare_pairs
from trm_scaling.results.columns import configured_columns

Shared = Literal["trajectory", "test puzzles", "nothing"]

ACCURACY = "test_accuracy"
UNAVERAGED = "test_accuracy_unaveraged"

_AVERAGES = frozenset({"ema", "ema_rate", "ema_rates", "ema_puzzle_emb"})
_OF_THE_TEST = (
    *("path", "source", "test_source", "box_rows", "box_cols", "test_size", "min_rating", "max_rating"),
    *("givens", "minimal", "data.seed"),
)
"""Columns that describe the test split: it is drawn before the training puzzles, whatever their number."""


@dataclass(frozen=True)
class Pairing:
    """What the runs of two configurations share, seed by seed."""

    shared: Shared
    """By every pair of runs with one seed: the most that all of them share."""
    seeds: tuple[int, ...]
    """That both have."""

    @property
    def sentence(self) -> str:
        """What was paired, for a reader."""
        count = len(self.seeds)
        seeds = f"{count} seed" if count == 1 else f"{count} seeds"
        match self.shared:
            case "trajectory":
                return f"Paired over {seeds}: of one seed both are averages of one training run."
            case "test puzzles":
                return "Not paired over seeds. Both answered the same test puzzles."
            case "nothing":
                return "Not paired: nothing says that they answered the same test puzzles."


def pairing_of(a: pd.DataFrame, b: pd.DataFrame) -> Pairing:
    """What the runs `a` and `b` of two configurations share; rows of a table of runs, of one profile."""
    one, other = _by_seed(a), _by_seed(b)
    seeds = tuple(sorted(one.keys() & other.keys()))
    pairs = [(one[seed], other[seed]) for seed in seeds]
    if pairs and all(_one_trajectory(*pair) for pair in pairs):
        return Pairing("trajectory", seeds)
    everyone = [*a.to_dict("records"), *b.to_dict("records")]
    if everyone and all(_same_test(everyone[0], row) for row in everyone[1:]):
        return Pairing("test puzzles", seeds)
    return Pairing("nothing", seeds)


def compare_runs(a: str, b: str, runs_a: pd.DataFrame, runs_b: pd.DataFrame) -> Comparison:
    """Test accuracy of `runs_b` against `runs_a`: in pairs where a seed's runs are one trajectory.

    Runs of seeds that only one side has are then left out. Raises UserError when a side has no runs.
    """
    found = pairing_of(runs_a, runs_b)
    if found.shared != "trajectory":
        both = compare(a, b, *(side[ACCURACY].to_numpy(float) for side in (runs_a, runs_b)))
        return replace(both, pairing=found.sentence)
    of_a, of_b = (
        np.array([rows[seed][ACCURACY] for seed in found.seeds])
        for rows in (_by_seed(runs_a), _by_seed(runs_b))
    )
    return replace(compare_pairs(a, b, of_a, of_b), pairing=found.sentence)


def unaveraged(table: pd.DataFrame) -> "pd.Series[float]":
    """Test accuracy of each run's best checkpoint by its current weights, whether it keeps an average or not.

    Missing where the table does not say.
    """
    missing = pd.Series(np.nan, table.index, dtype=float)
    known = table[UNAVERAGED].astype(float) if UNAVERAGED in table else missing
    if "ema" not in table or ACCURACY not in table:
        return known
    without = table["ema"].map(lambda kept: kept is False or kept == 0)
    return known.where(known.notna() | ~without, table[ACCURACY])


def _by_seed(table: pd.DataFrame) -> dict[int, dict[Any, Any]]:
    rows = table[table["seed"].notna()] if "seed" in table else table.iloc[:0]
    return {int(row["seed"]): row for row in rows.to_dict("records")}


def _one_trajectory(a: dict[Any, Any], b: dict[Any, Any]) -> bool:
    if _known(a, b, "trajectory_sha256"):
        return bool(a["trajectory_sha256"] == b["trajectory_sha256"])
    # Older records do not say; configuration, code and device decide then.
    decides = [
        column.name
        for field, column in configured_columns().items()
        if column.name not in _AVERAGES and not field.startswith("system.")
    ]
    there = [name for name in (*decides, "commit", "device_kind") if name in a and name in b]
    return len(there) > 2 and all(_alike(a[name], b[name]) for name in there)


def _same_test(a: dict[Any, Any], b: dict[Any, Any]) -> bool:
    for fingerprint in ("test_fingerprint", "data_fingerprint"):
        if _known(a, b, fingerprint) and a[fingerprint] == b[fingerprint]:
            return True
    if _known(a, b, "test_fingerprint"):
        return False
    described = all(name in a and name in b for name in _OF_THE_TEST)
    # Lists may have changed since; generated puzzles are a function of what stands here.
    return described and a["source"] == "generated" and all(_alike(a[n], b[n]) for n in _OF_THE_TEST)


def _known(a: dict[Any, Any], b: dict[Any, Any], name: str) -> bool:
    return all(isinstance(row.get(name), str) for row in (a, b))


def _alike(a: Any, b: Any) -> bool:
    return bool(a == b) or bool(pd.isna(a) and pd.isna(b))
