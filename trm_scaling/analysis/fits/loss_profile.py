"""Intervals of a law of the loss where runs have several points, whose noise they share.

Resampling the runs gives intervals that are too short: 18 runs are few, and where the best E is 0 so is
every resampled one. Instead the objective is profiled. A value is in a parameter's interval unless the
least objective with that value held exceeds the least objective by more than a critical share of it (for
robust fits: Schrader & Hettmansperger, Biometrika 67, 1980). No table has that share for points that depend
on each other, so it is read off simulated studies whose truth is the fit (the prepivoting of Beran,
J. Am. Stat. Assoc. 83, 1988). Such an interval does not depend on the units of the inputs, need not be
symmetric, and may reach E = 0.

Shapes: R simulated studies, G runs, n points, q numbers in theta.
"""

import numpy as np
from jaxtyping import Float

from trm_scaling.analysis.fits.loss_law import LEAST_LOG
from trm_scaling.analysis.fits.loss_search import FittedLoss, descend_loss

LEVEL_OF_SHARES = 0.98
"""Of the simulated shares, for intervals at 95 %: at 0.95 they covered 87 to 93 % of 200 planted studies of
18 runs, since a study that is simulated from a fit knows its noise and the shape of its law (docs/LOG.md)."""
_ENOUGH = 1e-5
"""Share of the objective to which it is found: critical shares are above 1e-2."""
MOST_STUDIES = 200
"""That critical shares are read off, at the most: each takes a refit for each parameter."""
_MOST_STEPS, _TOLERANCE = 12, 0.05
"""For the search of one end, and how close it gets, in standard deviations of the simulated estimates."""
_FAR = 3.0
"""Of those standard deviations, the largest that a search steps by."""


def profile_ends(
    fitted: FittedLoss, ln_loss: Float[np.ndarray, "R n"]
) -> tuple[Float[np.ndarray, "R q"], Float[np.ndarray, "q 2"]]:
    """theta of each simulated study, and the ends of each number's interval in the units of the inputs.

    Factors are given by their ln. An end that was not found is infinite.
    """
    law, inputs, q, factors = fitted.law, fitted.inputs, fitted.theta.size, len(fitted.law.factors)
    ones = np.ones((1, inputs.ln_loss.size))
    best = fitted.theta + law.shift(fitted.theta, inputs)
    starts = np.tile(fitted.start, (len(ln_loss), 1))
    draws, least = descend_loss(law, inputs, starts, ln_loss, ones, fitted.delta, enough=_ENOUGH)
    critical = _critical_shares(fitted, ln_loss[:MOST_STUDIES], draws[:MOST_STUDIES], least[:MOST_STUDIES])
    reported = draws + law.shift(draws, inputs)
    low, high = np.quantile(reported, (0.16, 0.84), axis=0)
    spread = np.clip((high - low) / 2, 1e-6, _FAR)
    spread[:factors][fitted.theta[:factors] < LEAST_LOG / 2] = _FAR  # the ln of what is 0 has no spread

    index, way = np.tile(np.arange(q), 2), np.repeat([-1.0, 1.0], q)
    inside, outside, step = best[index], np.full(2 * q, np.nan), 2 * spread[index]
    # At both: the root of the share by which the objective rises, over its critical one. It grows evenly.
    below, above = np.zeros(2 * q), np.ones(2 * q)
    theta = np.tile(fitted.start, (2 * q, 1))
    for _ in range(_MOST_STEPS):
        found = np.isfinite(outside)
        between = np.clip((1 - below) / (above - below), 0.1, 0.9)
        trial = np.where(found, inside + between * (outside - inside), inside + way * step)
        reached, value = descend_loss(
            law, inputs, theta, inputs.ln_loss[None], ones, fitted.delta, (index, trial), enough=_ENOUGH
        )
        root = np.sqrt(np.maximum(0.0, value / fitted.objective - 1) / critical[index])
        fits = root <= 1
        theta[fits] = reached[fits]
        inside, below = np.where(fits, trial, inside), np.where(fits, root, below)
        outside, above = np.where(fits, outside, trial), np.where(fits, above, root)
        step = np.where(fits & ~found, 2 * step, step)
        if ((np.abs(outside - inside) < _TOLERANCE * spread[index]) | (np.abs(root - 1) < _TOLERANCE)).all():
            break
    exact = inside + (1 - below) / (above - below) * (outside - inside)
    return draws, np.where(np.isfinite(outside), exact, way * np.inf).reshape(2, q).T


def _critical_shares(
    fitted: FittedLoss,
    ln_loss: Float[np.ndarray, "R n"],
    draws: Float[np.ndarray, "R q"],
    least: Float[np.ndarray, " R"],
) -> Float[np.ndarray, " q"]:
    """By what share of its least the objective rises in 95 % of the studies, with each true number held."""
    law, inputs, (studies, q) = fitted.law, fitted.inputs, draws.shape
    best = fitted.theta + law.shift(fitted.theta, inputs)
    index = np.repeat(np.arange(q), studies)
    starts, again = np.tile(fitted.start, (q * studies, 1)), np.tile(ln_loss, (q, 1))
    ones, pinned = np.ones((1, inputs.ln_loss.size)), (index, best[index])
    _, held = descend_loss(law, inputs, starts, again, ones, fitted.delta, pinned, enough=_ENOUGH)
    share = held.reshape(q, studies) / least - 1
    # Where a factor ends at 0 the objective cannot rise on that side: no guide to the other end.
    there = draws[:, : len(law.factors)] > LEAST_LOG / 4
    share[: len(law.factors)][(~there & there.any(0)).T] = np.nan
    return np.maximum(1e-12, np.nanquantile(share, LEVEL_OF_SHARES, axis=1))
