"""The critical batch size: where larger batches stop saving steps.

steps(B) = S (1 + C / B) (McCandlish et al., arXiv 1812.06162): far below C twice the batch halves the
steps, far above C it changes nothing. With noise of one relative size, ln S is linear given C, so one
number is searched, and its profile likelihood gives the interval.

Shapes: n runs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import f as f_distribution

from trm_scaling.analysis.fits.record import Verdict, judge
from trm_scaling.analysis.interval import LEVEL, Interval
from trm_scaling.errors import UserError

_BEYOND = np.log(1e3)
"""Critical batches are sought a thousand times beyond the batches that were tried, on both sides."""
_GRID = 400
_PARAMETERS = 2
_WIDE = 10.0
"""A critical batch whose interval spans more than this factor is known in name only."""


@dataclass(frozen=True)
class CriticalBatch:
    """A fitted hyperbola."""

    critical_batch: float
    interval: Interval | None
    least_steps: float
    """Steps to the target with batches without limit."""
    least_examples: float
    """Samples to the target with the smallest batches: least steps x critical batch."""
    residual_sd: float
    """Of ln steps."""
    runs: int
    verdict: Verdict


def critical_batch_size(batch: Float[np.ndarray, " n"], steps: Float[np.ndarray, " n"]) -> CriticalBatch:
    """Fit the hyperbola to runs that reached one target in `steps` with batches of `batch`.

    Raises UserError with fewer than three batch sizes or values that are not positive.
    """
    sizes = np.unique(batch).size
    if sizes < 3:
        raise UserError(f"{sizes} batch sizes cannot show where steps stop falling: it takes at least 3")
    if (batch <= 0).any() or not (np.isfinite(steps) & (steps > 0)).all():
        raise UserError("batches and steps must be positive: leave out runs that never reached the target")
    ln_steps = np.log(steps)

    def residuals(ln_critical: float) -> np.ndarray:
        shape = np.log1p(np.exp(ln_critical) / batch)
        return np.asarray(ln_steps - shape - (ln_steps - shape).mean())

    def squares(ln_critical: float) -> float:
        return float((residuals(ln_critical) ** 2).sum())

    grid = np.linspace(np.log(batch.min()) - _BEYOND, np.log(batch.max()) + _BEYOND, _GRID)
    values = np.array([squares(at) for at in grid])
    around = grid[np.clip(values.argmin() + np.array([-1, 1]), 0, _GRID - 1)]
    best = float(minimize_scalar(squares, bounds=around, method="bounded", options={"xatol": 1e-10}).x)
    freedom = batch.size - _PARAMETERS
    least = squares(best)
    limit = least * (1 + float(f_distribution.ppf(LEVEL, 1, freedom)) / freedom)
    interval = _interval(lambda at: squares(at) - limit, grid, best)
    critical, least_steps = (
        float(np.exp(best)),
        float(np.exp((ln_steps - np.log1p(np.exp(best) / batch)).mean())),
    )
    return CriticalBatch(
        critical_batch=critical,
        interval=interval,
        least_steps=least_steps,
        least_examples=least_steps * critical,
        residual_sd=float(np.sqrt(least / freedom)),
        runs=batch.size,
        verdict=_verdict(interval, float(batch.min()), float(batch.max())),
    )


def _interval(excess: Callable[[float], float], grid: np.ndarray, best: float) -> Interval:
    """Every critical batch that fits well enough; open where that has no end."""
    inside = np.array([excess(at) <= 0 for at in grid])
    below, above = grid[(grid < best) & ~inside], grid[(grid > best) & ~inside]
    low = high = None
    if not inside[0]:
        low = float(np.exp(brentq(excess, below[-1], best))) if excess(best) < 0 else float(np.exp(best))
    if not inside[-1]:
        high = float(np.exp(brentq(excess, best, above[0]))) if excess(best) < 0 else float(np.exp(best))
    return Interval(low, high, "profile likelihood")


def _verdict(interval: Interval, smallest: float, largest: float) -> Verdict:
    against, doubts = None, []
    match interval.low, interval.high:
        case None, None:
            against = "Any critical batch size fits these runs."
        case low, None:
            against = f"Steps fall as 1 / batch up to the largest batch: the critical one is above {low:.3g}."
        case None, high:
            against = f"Steps do not fall with the batch: the critical one is below {high:.3g}."
        case low, high if low is not None and high is not None:
            if high > _WIDE * low:
                doubts.append(
                    f"Its interval, {low:.3g} to {high:.3g}, spans more than a factor of {_WIDE:g}."
                )
            if high < smallest or low > largest:
                tried = f"{smallest:.3g} to {largest:.3g}"
                doubts.append(f"It lies beyond the batches that were tried, {tried}.")
    found = "Steps fall with small batches and level off within those that were tried."
    return judge([against], doubts, found)
