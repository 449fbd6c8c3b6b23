"""Where more of something stops paying: the least of it that does as well as any.

Shapes: k configurations, R draws.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from trm_scaling.analysis.interval import TAILS
from trm_scaling.analysis.runs import AccuracyRuns
from trm_scaling.analysis.seeds import PooledVariance, pooled_variance, run_logits

WORTH = 0.02
"""Accuracy that is worth paying for. Two points: with five seeds that differ by 3 to 5 points, the mean of
a configuration is known to about that, so that less could be neither shown nor missed."""


@dataclass(frozen=True)
class Enough:
    """The configuration that is enough, in the order of the axis."""

    configuration: str
    """By the mean accuracies."""
    probability: float | None
    """Share of draws of the true accuracies in which it is this one; None without replicates."""
    low: str
    """The least that may be enough, at 95 %; the same as `configuration` without replicates."""
    high: str
    """The most that may be needed."""
    at_end: bool
    """Whether it is the last that was tried in the direction of more accuracy: then it may not be enough."""
    at_start: bool
    """Whether it is the first that was tried: then even less (or more, of a batch) may be enough."""
    all_after: bool
    """Whether every configuration that spends more (or every smaller batch) is as good by its mean."""


def enough(
    runs: AccuracyRuns,
    prefer: Literal["least", "most"] = "least",
    elsewhere: PooledVariance | None = None,
    *,
    draws: int = 4000,
    seed: int = 0,
) -> Enough:
    """The least x (or the most, where x is a batch and more of it costs accuracy) within `WORTH` of the best.

    Probabilities are shares of `draws` of what the true mean accuracies may be, from the seed variance
    pooled over all configurations, or that of `elsewhere` where none has two runs.
    """
    means, members = runs.collapsed(), runs.configurations.members
    order = np.argsort(means.x if prefer == "least" else -means.x, kind="stable")
    names = [runs.configurations.names[index] for index in order]

    def first(accuracy: np.ndarray) -> np.ndarray:
        """(R,) place in `order`, of accuracies (R, k)."""
        return np.asarray((accuracy >= accuracy.max(-1, keepdims=True) - WORTH).argmax(-1))

    found = int(first(means.accuracy[None, order])[0])
    pooled = pooled_variance(runs) or elsewhere
    good = means.accuracy[order] >= means.accuracy.max() - WORTH
    ends = (len(names) > 1 and found == len(names) - 1, found == 0, bool(good[found:].all()))
    if pooled is None:
        return Enough(names[found], None, names[found], names[found], *ends)
    logits = run_logits(runs)
    centre = np.array([logits[rows].mean() for rows in members])[order]
    counts = np.array([rows.size for rows in members])[order]
    rng = np.random.default_rng(seed)
    places = first(np.stack([pooled.draw_means(centre, counts, rng) for _ in range(draws)]))
    low, high = np.quantile(places, TAILS, method="inverted_cdf")
    return Enough(names[found], float((places == found).mean()), names[int(low)], names[int(high)], *ends)
