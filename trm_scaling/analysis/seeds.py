"""What a few seeds say of a configuration: its mean accuracy, with an interval that covers.

At three seeds a percentile bootstrap covers 75 % where it promises 95; the t-interval keeps its promise.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit
from scipy.stats import binomtest
from scipy.stats import t as t_distribution

from trm_scaling.analysis.interval import LEVEL, TAILS, Interval
from trm_scaling.analysis.runs import AccuracyRuns

Basis = Literal["t over seeds", "pooled seed variance", "puzzles alone"]


@dataclass(frozen=True)
class SeedSummary:
    """One configuration over its seeds."""

    configuration: str
    runs: int
    mean: float
    """Accuracy, a fraction."""
    sd: float | None
    """Between seeds; None with one."""
    interval: Interval | None
    """Of the mean over all seeds there could be, unless `basis` says otherwise."""
    basis: Basis | None
    """None without an interval: no replicates differ, here or elsewhere, and there are no counts."""


@dataclass(frozen=True)
class PooledVariance:
    """How much seeds differ, in logits, over all configurations with more than one."""

    variance: float
    freedom: int

    def draw_means(
        self, centre: Float[np.ndarray, " k"], runs: Int[np.ndarray, " k"], rng: np.random.Generator
    ) -> Float[np.ndarray, " k"]:
        """One draw of what the mean accuracy of each configuration may be; `centre` are mean logits."""
        sd = np.sqrt(self.variance * self.freedom / rng.chisquare(self.freedom) / runs)
        return np.asarray(expit(rng.normal(centre, sd)))


def t_interval(values: Float[np.ndarray, " n"]) -> Interval | None:
    """Of the mean of what `values` are a sample of; None with fewer than two."""
    if values.size < 2:
        return None
    half = float(t_distribution.ppf(TAILS[1], values.size - 1) * values.std(ddof=1) / np.sqrt(values.size))
    mean = float(values.mean())
    return Interval(mean - half, mean + half, f"t-interval over {values.size} seeds")


def run_logits(runs: AccuracyRuns) -> Float[np.ndarray, " n"]:
    """Logit of each accuracy, half a puzzle away from 0 and 1 (a thousandth where counts are unknown)."""
    if runs.total is None:
        return np.asarray(logit(np.clip(runs.accuracy, 1e-3, 1 - 1e-3)))
    return np.asarray(logit((runs.accuracy * runs.total + 0.5) / (runs.total + 1)))


def pooled_variance(runs: AccuracyRuns) -> PooledVariance | None:
    """Over all configurations with more than one run; None when there is none."""
    logits, codes = run_logits(runs), runs.configurations.codes
    freedom = codes.size - len(runs.configurations.names)
    if freedom == 0:
        return None
    means = np.bincount(codes, logits) / np.bincount(codes)
    return PooledVariance(float(((logits - means[codes]) ** 2).sum() / freedom), freedom)


def summarise_seeds(runs: AccuracyRuns, elsewhere: PooledVariance | None = None) -> tuple[SeedSummary, ...]:
    """Every configuration, in the order of `runs.configurations.names`.

    The intervals are of one kind: t over seeds where every configuration has two runs, else from the seed
    variance of the others, or of `elsewhere`, of other runs at the same budget, where they have none; where
    there is none to borrow, counts alone give the interval. `basis` says which. Runs that agree to the last
    puzzle borrow too; where they solve all or nothing there is no logit to borrow for, and no interval.
    """
    own, logits = pooled_variance(runs), run_logits(runs)
    pooled = own or elsewhere
    of = "these configurations" if own is not None else "the study's configurations"
    replicated = all(rows.size > 1 for rows in runs.configurations.members)
    found = []
    for name, rows in zip(runs.configurations.names, runs.configurations.members, strict=True):
        values = runs.accuracy[rows]
        mean, sd = float(values.mean()), float(values.std(ddof=1)) if values.size > 1 else None
        interval, basis = _interval(
            values, logits[rows], None if runs.total is None else runs.total[rows], pooled, of, replicated
        )
        if interval is not None:
            # Logits stay half a puzzle off 0 and 1, where means may be: an interval holds its mean.
            low, high = interval.ends
            interval = replace(interval, low=max(0.0, min(low, mean)), high=min(1.0, max(high, mean)))
        found.append(SeedSummary(name, values.size, mean, sd, interval, basis))
    return tuple(found)


def _interval(
    values: np.ndarray,
    logits: np.ndarray,
    total: np.ndarray | None,
    pooled: PooledVariance | None,
    of: str,
    replicated: bool,
) -> tuple[Interval | None, Basis | None]:
    can_borrow = pooled is not None and pooled.variance > 0
    if np.ptp(values) > 0 and (replicated or not can_borrow):
        return t_interval(values), "t over seeds"
    if pooled is not None and can_borrow:
        if values.mean() in (0.0, 1.0):
            return None, None
        return _borrowed(float(logits.mean()), values.size, pooled, of), "pooled seed variance"
    if total is not None:
        return wilson(round(values @ total), round(total.sum())), "puzzles alone"
    return None, None


def wilson(solved: int, total: int) -> Interval:
    """The Wilson score interval (1927): of the same network on other puzzles, not of other seeds."""
    found = binomtest(solved, total).proportion_ci(LEVEL, method="wilson")
    return Interval(float(found.low), float(found.high), "Wilson: the same network on other puzzles")


def _borrowed(centre: float, runs: int, pooled: PooledVariance, of: str) -> Interval:
    half = float(t_distribution.ppf(TAILS[1], pooled.freedom) * np.sqrt(pooled.variance / runs))
    low, high = expit([centre - half, centre + half])
    method = f"the seed variance pooled over {of} ({pooled.freedom} degrees of freedom)"
    return Interval(float(low), float(high), method)
