"""The least summed Huber loss of a law, from many starts, and refits of resampled or simulated points.

Given the exponents a sum of powers is linear, so a grid over exponents with non-negative least squares finds
where to start; from there all numbers are refined together. The loss is summed, and divided by Huber's
delta for the optimiser: its mean is so small that default tolerances stop where they start (Besiroglu et
al., arXiv 2404.10102, found that of the published Chinchilla fit).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize

from trm_scaling.analysis.fits.descent import ENOUGH, descend
from trm_scaling.analysis.fits.loss_law import (
    HUBER_DELTA,
    LEAST_LOG,
    Inputs,
    Law,
    huber,
    reported,
    theta_of,
)
from trm_scaling.analysis.fits.resampling import noise_scale
from trm_scaling.analysis.runs import LossRuns

THOROUGH, QUICK = 24, 6
"""Starts: of the law in question, and of the rivals and refits beside it."""
_SAME = 1e-6


@dataclass(frozen=True)
class FittedLoss:
    """The best parameters of one law."""

    law: Law
    inputs: Inputs
    theta: Float[np.ndarray, " q"]
    objective: float
    """Summed Huber loss of ln L."""
    starts: int
    agreeing: int
    delta: float = HUBER_DELTA

    @property
    def start(self) -> Float[np.ndarray, " q"]:
        """theta for a fit to other losses: a factor that is 0 is lifted, since from 0 none returns."""
        theta = self.theta.copy()
        count = len(self.law.factors)
        theta[:count] = np.maximum(theta[:count], LEAST_LOG / 8)
        return theta

    @property
    def parameters(self) -> dict[str, float]:
        """As reported, in the units of the inputs."""
        values = reported(self.law, self.theta, self.inputs).tolist()
        return dict(zip(self.law.parameter_names, values, strict=True))

    @property
    def ln_loss(self) -> Float[np.ndarray, " n"]:
        """Of the law at each point, over the points' geometric mean."""
        return self.law.ln_loss(self.theta, self.inputs)[0]

    @property
    def residual(self) -> Float[np.ndarray, " n"]:
        """Observed less fitted, of ln L."""
        return self.inputs.ln_loss - self.ln_loss

    @property
    def freedom(self) -> int:
        """Points less parameters, at least 1."""
        return max(1, self.inputs.ln_loss.size - self.theta.size)

    def loss(self, runs: LossRuns) -> Float[np.ndarray, " n"]:
        """The law's loss for the sizes of `runs`, whose losses are not read."""
        return self.losses(self.theta, runs)

    def losses(
        self, theta: Float[np.ndarray, "*problems q"], runs: LossRuns
    ) -> Float[np.ndarray, "*problems n"]:
        """As `loss`, with the numbers of refits to the same inputs."""
        return np.asarray(np.exp(self.law.ln_loss(theta, self.moved(runs))[0] + self.inputs.ln_unit))

    def moved(self, runs: LossRuns) -> Inputs:
        """The sizes of `runs` in the units of the fit."""
        fresh = Inputs.of(self.law, runs)
        shifted = fresh.ln_inputs + fresh.centre - self.inputs.centre
        return replace(self.inputs, ln_inputs=shifted, recursions=fresh.recursions)

    @property
    def residual_sd(self) -> float:
        """Of ln L, over the residual degrees of freedom."""
        return float(np.sqrt((self.residual**2).sum() / self.freedom))

    @property
    def condition(self) -> float:
        """Condition number of ln L's derivatives by theta."""
        singular = np.linalg.svd(self.law.ln_loss(self.theta, self.inputs)[1], compute_uv=False)
        return float(singular[0] / singular[-1]) if singular[-1] > 0 else float("inf")


def search_loss(
    law: Law,
    inputs: Inputs,
    starts: Sequence[Float[np.ndarray, " q"]] | int = THOROUGH,
    delta: float = HUBER_DELTA,
) -> FittedLoss:
    """The best theta, from `starts` or from that many of a grid."""
    if isinstance(starts, int):
        grid = sorted(law.starts(inputs), key=lambda pair: pair[0])[:starts]
        starts = [theta for _, theta in grid]
    ones = np.ones((1, inputs.ln_loss.size))
    near, values = descend_loss(law, inputs, np.array(starts), inputs.ln_loss[None], ones, delta)
    # Beside the law in question, only the best is worth its last digits.
    polished = near if len(near) > QUICK else near[[int(values.argmin())]]
    ends = [_polish(law, inputs, theta, delta) for theta in polished]
    theta, least = min(ends, key=lambda end: end[1])
    agreeing = sum(value <= least + _SAME * max(delta, least) for _, value in ends)
    return FittedLoss(law, inputs, theta, least, len(ends), agreeing, delta)


def descend_loss(
    law: Law,
    inputs: Inputs,
    starts: Float[np.ndarray, "P q"],
    ln_loss: Float[np.ndarray, "#P n"],
    weight: Float[np.ndarray, "#P n"],
    delta: float = HUBER_DELTA,
    pinned: tuple[Int[np.ndarray, " P"], Float[np.ndarray, " P"]] | None = None,
    *,
    enough: float = ENOUGH,
) -> tuple[Float[np.ndarray, "P q"], Float[np.ndarray, " P"]]:
    """theta with the least weighted sum of Huber's loss near each start, and that sum.

    `pinned` names one number of each problem and its value, in the units of the inputs (a factor by its ln):
    the others are then sought with that one held.

    `ln_loss` are the losses to fit, in the place of those in `inputs`. Huber's loss of a residual lies
    below a parabola that touches it, of curvature delta / |residual| beyond delta: that is the curvature
    to step by.
    """
    shape = (len(starts), inputs.ln_loss.size)
    every_loss, every_weight = np.broadcast_to(ln_loss, shape), np.broadcast_to(weight, shape)
    none = law.shift(np.zeros(starts.shape[1]), inputs)
    slopes = (law.shift(np.eye(starts.shape[1]), inputs) - none).T

    def held(theta: np.ndarray, problems: np.ndarray) -> np.ndarray:
        if pinned is None:
            return theta
        rows, index, value = np.arange(len(theta)), pinned[0][problems], pinned[1][problems]
        theta = theta.copy()
        theta[rows, index] = value - law.shift(theta, inputs)[rows, index]
        return theta

    def look(theta: np.ndarray, problems: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        fitted, jacobian = law.ln_loss(held(theta, problems), inputs)
        if pinned is not None:
            rows, index = np.arange(len(theta)), pinned[0][problems]
            # What is held moves with the exponents, so that its value in the units of the inputs stays.
            jacobian = jacobian - jacobian[rows, :, index][..., None] * slopes[index][:, None, :]
            jacobian[rows, :, index] = 0.0
        residual, own = fitted - every_loss[problems], every_weight[problems]
        value, slope = huber(residual, delta)
        bend = own * delta / np.maximum(np.abs(residual), delta)
        transposed = np.swapaxes(jacobian, -1, -2)
        gradient = (transposed @ (own * slope)[..., None])[..., 0]
        return (own * value).sum(-1), gradient, (transposed * bend[..., None, :]) @ jacobian

    theta, least = descend(look, starts, law.bounds, enough)
    return held(theta, np.arange(len(theta))), least


def _polish(law: Law, inputs: Inputs, theta: np.ndarray, delta: float) -> tuple[np.ndarray, float]:
    """To the last digits, by an optimiser that keeps to the bounds."""

    def value_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        ln_loss, jacobian = law.ln_loss(theta, inputs)
        value, slope = huber(ln_loss - inputs.ln_loss, delta)
        return float(value.sum()) / delta, jacobian.T @ slope / delta

    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000, "maxfun": 20000}
    end = minimize(value_and_gradient, theta, jac=True, method="L-BFGS-B", bounds=law.bounds, options=options)
    return end.x, float(end.fun) * delta


def refit_loss(fitted: FittedLoss, runs: LossRuns) -> FittedLoss:
    """The same law on other points, from where it stood."""
    inputs = Inputs.of(fitted.law, runs)
    return search_loss(fitted.law, inputs, [theta_of(fitted.law, fitted.parameters, inputs)], fitted.delta)


def refits(
    fitted: FittedLoss, ln_loss: Float[np.ndarray, "#R n"], weight: Float[np.ndarray, "#R n"]
) -> Float[np.ndarray, "R q"]:
    """theta of the law for each replicate: other losses (over their geometric mean), or other weights."""
    starts = np.tile(fitted.start, (max(len(ln_loss), len(weight)), 1))
    return descend_loss(fitted.law, fitted.inputs, starts, ln_loss, weight, fitted.delta)[0]


def reweighted(
    fitted: FittedLoss, rows: Sequence[Int[np.ndarray, " n"]]
) -> tuple[Float[np.ndarray, "1 n"], Float[np.ndarray, "R n"]]:
    """The same losses, each point as often as it stands in a replicate's `rows`."""
    n = fitted.inputs.ln_loss.size
    weight = [np.bincount(each, minlength=n).astype(float) for each in rows]
    return fitted.inputs.ln_loss[None], np.array(weight)


def simulated(
    fitted: FittedLoss, replicates: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "R n"], Float[np.ndarray, "1 n"]]:
    """Losses as the law would have given them, with fresh noise, and equal weights."""
    n = fitted.inputs.ln_loss.size
    scale = [np.sqrt(noise_scale(fitted.freedom, rng)) for _ in range(replicates)]
    noise = fitted.residual_sd * np.array(scale)[:, None] * rng.normal(size=(replicates, n))
    return fitted.ln_loss + noise, np.ones((1, n))
