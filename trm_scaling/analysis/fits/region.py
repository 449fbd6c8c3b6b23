"""Intervals by profile likelihood: how far a parameter or a prediction goes while the fit stays good enough.

Good enough is 2 (objective - least objective) <= dispersion x F(1, residual degrees of freedom), which
for a linear law with normal noise is the t-interval. Numbers in (s, a) are followed exactly through the
polygon at each exponent (`polygon.reach`), so bounds such as a <= 1 shorten intervals as they should.

Shapes: m exponents on a grid, d = 0 or 1 numbers in eta.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.stats import f as f_distribution

from trm_scaling.analysis.fits import polygon
from trm_scaling.analysis.fits.fitted import Fitted
from trm_scaling.analysis.fits.forms import (
    Form,
    eta_bounds,
    linear_parameters,
    shape,
    shape_parameters,
    vertices,
)
from trm_scaling.analysis.fits.profile import Solved
from trm_scaling.analysis.interval import LEVEL, Interval

METHOD = "profile likelihood"
PROFILED: tuple[Form, ...] = (
    *("saturating_power", "error_power", "saturating_exponential", "log_linear", "constant"),
)
"""Forms whose shape is at most one number."""
_COARSE, _FINE = 160, 160


@dataclass(frozen=True)
class Region:
    """The shapes that the data do not contradict, each with the best (s, a) that it allows."""

    fitted: Fitted
    eta: Float[np.ndarray, "m d"]
    solved: Solved
    limit: float
    """The largest objective that is good enough."""
    open_below: bool
    """The least exponent that was looked at is still good enough."""
    open_above: bool

    @classmethod
    def of(cls, fitted: Fitted) -> Self:
        """The region of a form in PROFILED."""
        problem, optimum = fitted.problem, fitted.optimum
        allowance = fitted.factor * float(f_distribution.ppf(LEVEL, 1, fitted.freedom)) / 2
        limit = float(optimum.solved.objective) + allowance
        bounds = eta_bounds(problem.form, problem.scale)
        if len(bounds) == 0:
            eta = np.zeros((1, 0))
            return cls(fitted, eta, problem.solve(eta), limit, False, False)

        def excess(at: float) -> float:
            return float(problem.solve(np.array([at])).objective) - limit

        best = float(optimum.eta[0])
        grid = np.unique(np.append(np.linspace(bounds[0, 0], bounds[0, 1], _COARSE), best))
        good = grid[(problem.solve(grid[:, None]).objective <= limit) | (grid == best)]
        low, high = float(good[0]), float(good[-1])
        if not (open_below := low == grid[0]):
            low = _crossing(excess, float(grid[grid < low][-1]), low)
        if not (open_above := high == grid[-1]):
            high = _crossing(excess, float(grid[grid > high][0]), high)
        eta = np.unique(np.append(np.linspace(low, high, _FINE), best))[:, None]
        return cls(fitted, eta, problem.solve(eta), limit, open_below, open_above)

    def parameters(self) -> dict[str, Interval]:
        """An interval for each reported parameter."""
        form, scale = self.fitted.problem.form, self.fitted.problem.scale
        found = {name: self._reach(at) for name, at in linear_parameters(form, self.eta, scale).items()}
        # Accuracies themselves: rounding must not carry them past 1.
        found |= {name: found[name].clipped(0.0, 1.0) for name in ("a", "level") if name in found}
        for name, value in shape_parameters(form, self.eta, scale).items():
            found[name] = Interval(
                None if self.open_below else float(value.min()),
                None if self.open_above else float(value.max()),
                METHOD,
            )
        return found

    def rate(self, x: float) -> Interval:
        """An interval for the law's accuracy at `x`."""
        problem = self.fitted.problem
        w, _ = shape(problem.form, self.eta, np.array([x]), problem.scale)
        return self._reach(np.concatenate([1 - w, w], axis=-1)).clipped(0.0, 1.0)

    def _reach(self, direction: Float[np.ndarray, "m 2"]) -> Interval:
        problem, solved = self.fitted.problem, self.solved
        # The expansion leaves out the constant: what the objective at beta is above Q(beta).
        limit = self.limit - solved.objective + polygon.objective(solved.H, solved.g, solved.beta)
        corners = vertices(problem.form, problem.outcome.margin)
        low, high = polygon.reach(solved.H, solved.g, limit, direction, corners)
        centre = (direction * solved.beta).sum(-1)[solved.objective.argmin()]
        return Interval(float(min(low.min(), centre)), float(max(high.max(), centre)), METHOD)


def _crossing(excess: Callable[[float], float], outside: float, inside: float) -> float:
    """Where the excess changes sign; `inside` when the region is a point."""
    if not excess(inside) < 0 < excess(outside):
        return inside
    return float(brentq(excess, outside, inside, xtol=1e-12))
