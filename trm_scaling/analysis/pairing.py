"""Which runs of two configurations belong together in pairs, and the comparison that uses it.

What can be shared: a trajectory (the runs differ in the average alone, which training does not read), a seed,
the test puzzles, and nothing. Runs of one seed are not a pair as those of one trajectory are, but a seed has
an effect of its own: over the six sizes of the laptop study seed 0 lies 0.34 logits above the mean of three
(two-way analysis, F(2, 10) = 5.7, p = 0.02; unaveraged 0.38 logits, F = 10.5, p = 0.004). So one seed is
never compared with the mean of several, but configurations at the seeds that all of them have.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from trm_scaling.analysis.comparison import Comparison, compare, compare_pairs
from trm_scaling.results.columns import description_of, science_columns, test_columns

Shared = Literal["trajectory", "seed", "test puzzles", "nothing"]

ACCURACY = "test_accuracy"
UNAVERAGED = "test_accuracy_unaveraged"

_AVERAGES = frozenset({"ema", "ema_rate", "ema_rates", "ema_puzzle_emb"})


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
            case "seed":
                return f"Compared at {seeds_in_words(self.seeds)}, on the same test puzzles."
            case "test puzzles":
                return "No seed in common. Both answered the same test puzzles."
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
        return Pairing("seed" if seeds else "test puzzles", seeds)
    return Pairing("nothing", seeds)


def compare_runs(a: str, b: str, runs_a: pd.DataFrame, runs_b: pd.DataFrame) -> Comparison:
    """Test accuracy of `runs_b` against `runs_a` at the seeds that both have.

    In pairs where a seed's runs are one trajectory. Raises UserError when a side has no runs.
    """
    found = pairing_of(runs_a, runs_b)
    of_a, of_b = (
        np.array([rows[seed][ACCURACY] for seed in found.seeds], dtype=float)
        if found.shared in ("trajectory", "seed")
        else side[ACCURACY].to_numpy(float)
        for side, rows in ((runs_a, _by_seed(runs_a)), (runs_b, _by_seed(runs_b)))
    )
    versus = compare_pairs if found.shared == "trajectory" else compare
    return replace(versus(a, b, of_a, of_b), pairing=found.sentence)


def common_seeds(table: pd.DataFrame) -> tuple[int, ...]:
    """The seeds that every experiment of `table` has; empty where there is none, or none is recorded."""
    if "seed" not in table or table.empty or table["seed"].isna().any():
        return ()
    each = [set(seeds.astype(int)) for _, seeds in table.groupby("experiment")["seed"]]
    return tuple(sorted(set.intersection(*each)))


def at_common_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """The runs of `table` that may be compared: those at `common_seeds`, or all where there is none."""
    seeds = common_seeds(table)
    return table[table["seed"].astype(int).isin(seeds)] if seeds else table


def seeds_in_words(seeds: Sequence[int]) -> str:
    """`seed 0`; `seeds 0, 1 and 2`."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"seeds {', '.join(map(str, seeds[:-1]))} and {seeds[-1]}"


def one_of_each_trajectory(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the first run of each trajectory: unaveraged, its other averages are the same weights."""
    seen: list[dict[Any, Any]] = []
    kept = []
    for row in table.to_dict("records"):
        of_seed = [each for each in seen if each.get("seed") == row.get("seed")]
        kept.append(not any(_one_trajectory(each, row) for each in of_seed))
        seen += [row] if kept[-1] else []
    return table[kept]


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
    decides = [name for name in science_columns().values() if name not in _AVERAGES]
    there = [name for name in (*decides, "commit", "device_kind") if name in a and name in b]
    return len(there) > 2 and all(_alike(a[name], b[name]) for name in there)


def _same_test(a: dict[Any, Any], b: dict[Any, Any]) -> bool:
    for fingerprint in ("test_fingerprint", "data_fingerprint"):
        if _known(a, b, fingerprint) and a[fingerprint] == b[fingerprint]:
            return True
    if _known(a, b, "test_fingerprint"):
        return False
    if (description := description_of(a.get("task"))) != description_of(b.get("task")):
        return False
    told = test_columns(description)
    described = all(name in a and name in b for name in told)
    # Lists may have changed since; generated puzzles are a function of what stands here.
    return described and a["source"] == "generated" and all(_alike(a[name], b[name]) for name in told)


def _known(a: dict[Any, Any], b: dict[Any, Any], name: str) -> bool:
    return all(isinstance(row.get(name), str) for row in (a, b))


def _alike(a: Any, b: Any) -> bool:
    return bool(a == b) or bool(pd.isna(a) and pd.isna(b))
