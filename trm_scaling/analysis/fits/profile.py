"""Variable projection: the best linear numbers for given shapes, then the best shape.

Shapes: independent problems in front, d numbers in eta, n runs.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from trm_scaling.analysis.fits import polygon
from trm_scaling.analysis.fits.descent import descend
from trm_scaling.analysis.fits.forms import Form, Scale, eta_bounds, shape, vertices
from trm_scaling.analysis.fits.likelihood import Outcome

_MOST_NEWTON_STEPS = 50
_MOST_CUTS = 8
_SAME = 1e-6
"""Starts agree when their objectives differ by less than this share of what a constant leaves."""


@dataclass(frozen=True)
class Solved:
    """The best beta for each eta."""

    beta: Float[np.ndarray, "*problems 2"]
    p: Float[np.ndarray, "*problems n"]
    objective: Float[np.ndarray, "*problems"]
    gradient: Float[np.ndarray, "*problems d"]
    """Of the objective by eta. The objective is least in beta, so the part through beta is zero."""
    H: Float[np.ndarray, "*problems 2 2"]
    g: Float[np.ndarray, "*problems 2"]
    """Second-order expansion of the objective in beta: exact for least squares."""


@dataclass(frozen=True)
class Problem:
    """One form against one set of runs."""

    form: Form
    x: Float[np.ndarray, " n"]
    outcome: Outcome
    scale: Scale

    def solve(
        self, eta: Float[np.ndarray, "*problems d"], near: Float[np.ndarray, "2"] | None = None
    ) -> Solved:
        """The best (s, a) for every eta at once, looked for from `near`."""
        w, by_eta = shape(self.form, eta, self.x, self.scale)
        basis = np.stack([1 - w, w], axis=-1)
        corners = vertices(self.form, self.outcome.margin)
        beta = self._newton(basis, corners, corners.mean(0) if near is None else near)
        p = (basis @ beta[..., None])[..., 0]
        first, second = self.outcome.derivatives(p)
        H, g = _quadratic(basis, first, second, beta)
        rise = (beta[..., 1] - beta[..., 0])[..., None]
        gradient = (by_eta * (first * rise)[..., None, :]).sum(-1)
        return Solved(beta, p, self.outcome.objective(p), gradient, H, g)

    def descend(
        self,
        starts: Float[np.ndarray, "P 2"],
        rates: Float[np.ndarray, "P n"],
        weight: Float[np.ndarray, "P n"],
        asymptote: float | None = None,
    ) -> tuple[Float[np.ndarray, "P 2"], Float[np.ndarray, "P 2"], Float[np.ndarray, " P"]]:
        """eta, beta and the objective of P problems of a shape of two numbers, each from its start.

        The asymptote, where the form has one, is a third number. `rates` and `weight` are each problem's.
        """
        corners = vertices(self.form, self.outcome.margin)
        first_corner = corners[0, 0]
        free = [(corners[:, 1].min(), corners[:, 1].max())] if len(corners) > 1 else []
        ends = [np.full((len(starts), 1), corners[-1, 1] if asymptote is None else asymptote)] * len(free)

        def look(theta: np.ndarray, problems: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            w, by_eta = shape(self.form, theta[:, :2], self.x, self.scale)
            rise = (theta[:, 2:] if free else corners[0, 1]) - first_corner
            p = np.clip(first_corner + rise * w, self.outcome.margin, 1 - self.outcome.margin)
            outcome, own = replace(self.outcome, rate=rates[problems]), weight[problems]
            first, second = outcome.derivatives(p)
            jacobian = np.concatenate(
                [np.reshape(rise, (-1, 1, 1)) * by_eta, *[w[:, None]] * len(free)], axis=1
            )
            gradient = (jacobian * (own * first)[:, None]).sum(-1)
            curvature = (jacobian * (own * second)[:, None]) @ np.swapaxes(jacobian, -1, -2)
            return (own * outcome.distances(p)).sum(-1), gradient, curvature

        bounds = np.array([*eta_bounds(self.form, self.scale), *free])
        theta, value = descend(look, np.concatenate([starts, *ends], axis=1), bounds)
        end = theta[:, 2] if free else np.full(len(theta), corners[0, 1])
        return theta[:, :2], np.stack([np.full(len(theta), first_corner), end], axis=-1), value

    def _newton(self, basis: np.ndarray, corners: np.ndarray, near: np.ndarray) -> np.ndarray:
        """Newton's method inside the polygon; for least squares the first step is the last."""
        beta = np.broadcast_to(near, (*basis.shape[:-2], 2))
        p = (basis @ beta[..., None])[..., 0]
        value = None
        for _ in range(_MOST_NEWTON_STEPS):
            H, g = _quadratic(basis, *self.outcome.derivatives(p), beta)
            target = polygon.minimum(H, g, corners)
            if self.outcome.likelihood == "least_squares":
                return target
            if np.abs(target - beta).max() < 1e-10:
                break
            if value is None:
                value = self.outcome.objective(p)
            step, length = target - beta, np.ones_like(value)
            for _ in range(_MOST_CUTS):
                moved = beta + length[..., None] * step
                p = (basis @ moved[..., None])[..., 0]
                reached = self.outcome.objective(p)
                worse = reached > value + 1e-9 * np.abs(value)
                if not worse.any():
                    break
                length = np.where(worse, length / 4, length)
            beta, value = moved, reached
        return beta


@dataclass(frozen=True)
class Optimum:
    """The best shape found, and how sure the search is of it."""

    eta: Float[np.ndarray, " d"]
    solved: Solved
    starts: int
    agreeing: int
    """Starts that lead to the best objective."""


@dataclass(frozen=True)
class Effort:
    """How hard to look."""

    starts: int
    precision: float
    """Of eta, so relative of an exponent."""


THOROUGH = Effort(48, 1e-14)
QUICK = Effort(16, 1e-6)
"""For refits by the thousand."""


def search(problem: Problem, effort: Effort = THOROUGH) -> Optimum:
    """The best eta in its bounds, looked for from all over them."""
    bounds = eta_bounds(problem.form, problem.scale)
    match len(bounds):
        case 0:
            return Optimum(np.zeros(0), problem.solve(np.zeros(0)), 1, 1)
        case 1:
            return _search_line(problem, bounds[0], effort)
        case _:
            return _search_plane(problem, bounds, effort.starts)


def _search_line(problem: Problem, bounds: np.ndarray, effort: Effort) -> Optimum:
    """Every start's way downhill, from the sign of the gradient on a grid, then each valley's floor.

    The floor is where the gradient is zero, not where the objective is least: objectives cannot tell
    exponents 1e-8 apart, gradients can.
    """
    grid = np.linspace(bounds[0], bounds[1], effort.starts)
    grid_solved = problem.solve(grid[:, None])
    falls = grid_solved.gradient[:, 0] < 0
    valley = np.concatenate([[0], np.cumsum(~falls[:-1] & falls[1:])])

    near = grid_solved.beta[grid_solved.objective.argmin()]

    @cache  # so that the signs at the ends of a bracket are those that made it one
    def slope(at: float) -> float:
        nonlocal near
        solved = problem.solve(np.array([at]), near)
        near = solved.beta
        return float(solved.gradient[0])

    floors = []
    for number in range(valley[-1] + 1):
        left = np.flatnonzero((valley == number) & falls)
        right = np.flatnonzero((valley == number) & ~falls)
        low, high = grid[left[-1] if left.size else 0], grid[right[0] if right.size else -1]
        if left.size and right.size and slope(low) < 0 < slope(high):
            floors.append(float(brentq(slope, low, high, xtol=effort.precision)))
        else:  # downhill all the way to a bound, or so flat that rounding decides
            floors.append(float(high if left.size else low))
    solved = problem.solve(np.array(floors)[:, None])
    best = int(solved.objective.argmin())
    same = solved.objective <= solved.objective[best] + _SAME * _yardstick(problem)[1]
    eta = np.array([floors[best]])
    return Optimum(eta, problem.solve(eta), effort.starts, int(same[valley].sum()))


def _search_plane(problem: Problem, bounds: np.ndarray, starts: int) -> Optimum:
    """Local searches from the best sixth of the starts, which are spread by Roberts' R2 sequence."""
    unit = ((np.arange(starts) + 0.5)[:, None] * np.array([0.7548776662466927, 0.5698402909980532])) % 1.0
    spread = bounds[:, 0] + unit * (bounds[:, 1] - bounds[:, 0])
    chosen = spread[problem.solve(spread).objective.argsort()[: max(2, starts // 6)]]
    rates = np.broadcast_to(problem.outcome.rate, (len(chosen), problem.x.size))
    eta, _, value = problem.descend(chosen, rates, np.ones_like(rates))
    best = int(value.argmin())
    agreeing = int((value <= value[best] + _SAME * _yardstick(problem)[1]).sum())
    return Optimum(eta[best], problem.solve(eta[best]), len(chosen), agreeing)


def _yardstick(problem: Problem) -> tuple[float, float]:
    """The objective of a perfect law, and how much more a constant has: 1 for runs without scatter."""
    rates = np.clip(problem.outcome.rate, problem.outcome.margin, 1 - problem.outcome.margin)
    perfect = float(problem.outcome.objective(rates))
    flat = Problem("constant", problem.x, problem.outcome, problem.scale).solve(np.zeros(0))
    excess = float(flat.objective) - perfect
    return perfect, excess if excess > 0 else 1.0


def _quadratic(
    basis: np.ndarray, first: np.ndarray, second: np.ndarray, beta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """H and g of beta' H beta / 2 - g' beta, the expansion around `beta`."""
    H = np.swapaxes(basis, -1, -2) @ (basis * second[..., None])
    gradient = (basis * first[..., None]).sum(-2)
    return H, (H @ beta[..., None])[..., 0] - gradient
