"""Accuracy against cost: which configurations no other beats on both, and how sure the seeds make us.

Shapes: k configurations.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from trm_scaling.analysis.runs import AccuracyRuns
from trm_scaling.analysis.seeds import PooledVariance, pooled_variance, run_logits

_LEAST_FOR_KNEE = 3


@dataclass(frozen=True)
class FrontierPoint:
    """One configuration."""

    configuration: str
    cost: float
    """Geometric mean over its runs, in the unit it was given."""
    accuracy: float
    """Mean over its runs."""
    runs: int
    on_frontier: bool
    """By the means."""
    probability: float | None
    """That it is on the frontier of the true accuracies; None where no configuration has two seeds."""
    probability_best: float | None
    """That its true accuracy is the highest of all."""


@dataclass(frozen=True)
class Frontier:
    """All configurations, the cheapest first."""

    points: tuple[FrontierPoint, ...]
    knee: str | None
    """Where the frontier bends most; None with fewer than three points on it."""
    noise: str
    """What the probabilities rest on."""
    left_out: str = ""
    """Runs whose cost says nothing, and why; empty where all count."""


def non_dominated(cost: Float[np.ndarray, " k"], accuracy: Float[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
    """Which points no other equals or beats on both while beating it on one. Equal points stand together."""
    cheaper, dearer = cost < cost[:, None], cost > cost[:, None]
    better, worse = accuracy > accuracy[:, None], accuracy < accuracy[:, None]
    beaten = (better & ~dearer) | (cheaper & ~worse)
    return np.asarray(~beaten.any(axis=1))


def knee(cost: Float[np.ndarray, " k"], accuracy: Float[np.ndarray, " k"]) -> int | None:
    """Index of the frontier's point farthest above the line between its ends, accuracy over ln cost.

    Both axes run from 0 to 1 between the ends, so units do not matter (Satopaa et al., 2011). None
    with fewer than three points, or where none is above the line.
    """
    frontier = np.flatnonzero(non_dominated(cost, accuracy))
    frontier = frontier[np.unique(cost[frontier], return_index=True)[1]]
    if frontier.size < _LEAST_FOR_KNEE:
        return None
    across, up = np.log(cost[frontier]), accuracy[frontier]
    height = (up - up[0]) / (up[-1] - up[0]) - (across - across[0]) / (across[-1] - across[0])
    best = int(height.argmax())
    return int(frontier[best]) if height[best] > 0 else None


def pareto_frontier(
    runs: AccuracyRuns,
    elsewhere: PooledVariance | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
    left_out: str = "",
) -> Frontier:
    """The frontier of `runs`, whose x is the cost. `left_out` says which runs are not among them, and why.

    Probabilities are shares of `draws` from what the true mean accuracies may be: each configuration's
    mean on the logit scale, with the seed variance pooled over all configurations that have replicates, or
    that of `elsewhere`, of other runs at the same budget, where none has.
    """
    means = runs.collapsed()
    members = runs.configurations.members
    counts = np.array([rows.size for rows in members])
    cost, accuracy = means.x, means.accuracy
    on, bend = non_dominated(cost, accuracy), knee(cost, accuracy)
    probability = best = None
    noise = "no configuration has two seeds, so nothing is known of their scatter"
    own = pooled_variance(runs)
    if (pooled := own or elsewhere) is not None:
        logits = run_logits(runs)
        centre = np.array([logits[rows].mean() for rows in members])
        rng = np.random.default_rng(seed)
        drawn = [pooled.draw_means(centre, counts, rng) for _ in range(draws)]
        probability = np.mean([non_dominated(cost, each) for each in drawn], axis=0)
        best = np.bincount([each.argmax() for each in drawn], minlength=cost.size) / draws
        which = "these configurations" if own is not None else "the study's configurations"
        noise = f"seed variance pooled over {which}, {pooled.freedom} degrees of freedom"
    points = [
        FrontierPoint(
            configuration=runs.configurations.names[index],
            cost=float(cost[index]),
            accuracy=float(accuracy[index]),
            runs=int(counts[index]),
            on_frontier=bool(on[index]),
            probability=_at(probability, index),
            probability_best=_at(best, index),
        )
        for index in map(int, np.argsort(cost, kind="stable"))
    ]
    name = None if bend is None else runs.configurations.names[bend]
    return Frontier(tuple(points), name, noise, left_out)


def _at(values: np.ndarray | None, index: int) -> float | None:
    return None if values is None else float(values[index])
