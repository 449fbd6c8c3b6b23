"""Whether seeds count as observations of a law, or only the configurations they are seeds of."""

import numpy as np
from jaxtyping import Float
from scipy.stats import f as f_distribution

from trm_scaling.analysis.runs import Configurations

ALPHA = 0.05


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


def explain(misfit: float | None) -> str:
    """What counted as one observation, given the p-value of lack of fit."""
    if misfit is None:
        return "each run"
    if misfit >= ALPHA:
        return f"each run: configurations scatter no more than seeds do (p = {misfit:.2g})"
    return f"each configuration's mean: they miss the law by more than seeds differ (p = {misfit:.2g})"
