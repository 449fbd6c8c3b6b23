"""Whether seeds count as observations of a law, and what configurations say without one."""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import isotonic_regression
from scipy.stats import f as f_distribution

from trm_scaling.analysis.runs import Configurations

ALPHA = 0.05
_PERMUTATIONS = 2000


def lack_of_fit(
    configurations: Configurations,
    observed: Float[np.ndarray, " n"],
    fitted: Float[np.ndarray, " n"],
    variance: Float[np.ndarray, " n"],
    parameters: int,
) -> float | None:
    """The p-value of configurations scattering around a law by no more than their seeds do (F test).

    `variance` is that of each run up to a common factor. None without replicates, or without more
    configurations than parameters.
    """
    codes, count = configurations.codes, len(configurations.names)
    freedom, replicate_freedom = count - parameters, observed.size - count
    if freedom < 1 or replicate_freedom < 1:
        return None
    means = (np.bincount(codes, observed) / np.bincount(codes))[codes]
    between = float(((means - fitted) ** 2 / variance).sum()) / freedom
    within = float(((observed - means) ** 2 / variance).sum()) / replicate_freedom
    if within == 0:  # the same outcome from every seed: any misfit is the law's
        return None if between <= 1e-20 * float((1 / variance).max()) else 0.0
    return float(f_distribution.sf(between / within, freedom, replicate_freedom))


def lack_of_fit_of_clusters(
    configurations: Configurations,
    cluster: Int[np.ndarray, " n"],
    residual: Float[np.ndarray, " n"],
    along: Float[np.ndarray, " n"],
    parameters: int,
) -> float | None:
    """As `lack_of_fit`, for runs with several points, whose noise is shared.

    Each run counts with two numbers, the mean of its residuals and their slope over `along` (ln of data), and
    each is tested; half of the law's parameters are taken to be spent on each. The p-value is the smaller of
    the two, doubled.
    """
    rows = Configurations.of(cluster).members
    of = Configurations.of(configurations.codes[[each[0] for each in rows]])
    away = along - along.mean()
    tested = []
    for weights in (np.ones_like(away), away):
        contrast = np.array([(weights[each] * residual[each]).sum() / each.size for each in rows])
        if np.ptp(weights) > 0 or weights[0] == 1:
            zeros, ones = np.zeros_like(contrast), np.ones_like(contrast)
            spent = min((parameters + 1) // 2, len(of.names) - 1)
            tested.append(lack_of_fit(of, contrast, zeros, ones, spent))
    known = [p for p in tested if p is not None]
    return min(1.0, len(known) * min(known)) if known else None


def constant_fits(
    configurations: Configurations, observed: Float[np.ndarray, " n"], x: Float[np.ndarray, " n"]
) -> float:
    """The p-value of all configurations being the same, against a curve that is free.

    With replicates the curve has a value for each configuration (one-way analysis of variance). Without, it
    rises or falls with x (isotonic regression, by permutation).
    """
    codes, count = configurations.codes, len(configurations.names)
    sizes = np.bincount(codes)
    means = np.bincount(codes, observed) / sizes
    if observed.size > count:
        between = float((sizes * (means - observed.mean()) ** 2).sum()) / max(1, count - 1)
        within = float(((observed - means[codes]) ** 2).sum()) / (observed.size - count)
        if within == 0:
            return 1.0 if between == 0 else 0.0
        return float(f_distribution.sf(between / within, max(1, count - 1), observed.size - count))
    values, rng = observed[np.argsort(x)], np.random.default_rng(0)
    if np.ptp(values) == 0:
        return 1.0

    def explained(values: np.ndarray) -> float:
        return max(float(isotonic_regression(values, increasing=up).x.var()) for up in (True, False))

    found = explained(values) * (1 - 1e-9)
    as_good = sum(explained(rng.permutation(values)) >= found for _ in range(_PERMUTATIONS))
    return (1 + as_good) / (1 + _PERMUTATIONS)


def misses_means(misfit: float | None) -> str | None:
    """The doubt about a law, given the p-value of lack of fit."""
    if misfit is None or misfit >= ALPHA:
        return None
    return f"It misses the means by more than seeds differ (lack of fit, F test, p = {misfit:.2g})."


def explain(misfit: float | None) -> str:
    """What counted as one observation, given the p-value of lack of fit."""
    if misfit is None:
        return "each run"
    if misfit >= ALPHA:
        return f"each run: configurations scatter no more than seeds do (p = {misfit:.2g})"
    return f"each configuration's mean: they miss the law by more than seeds differ (p = {misfit:.2g})"
