"""The least summed Huber loss of a law of the loss, from many starts.

Given the exponents the law is linear, so a grid over exponents with non-negative least squares finds
where to start; from there all numbers are refined together. The loss is summed, and divided by Huber's
delta for the optimiser: its mean is so small that default tolerances stop where they start (Besiroglu et
al., arXiv 2404.10102, found that of the published Chinchilla fit).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize, nnls

from trm_scaling.analysis.fits.descent import descend
from trm_scaling.analysis.fits.loss_law import (
    HUBER_DELTA,
    LEAST_LOG,
    Inputs,
    LossLaw,
    huber,
    ln_gain,
    ln_loss_and_jacobian,
)
from trm_scaling.analysis.runs import LossRuns

THOROUGH, QUICK = 24, 6
"""Starts: of the law in question, and of the rivals and refits beside it."""
_EXPONENT_GRID = np.geomspace(0.03, 2.0, 8)
_RECURSION_GRID = {"none": [0.0], "power": [0.0, 0.5, 1.0], "saturating": [-1.0, 1.0, 3.0]}
_SAME = 1e-6


@dataclass(frozen=True)
class FittedLoss:
    """The best parameters of one law."""

    law: LossLaw
    inputs: Inputs
    theta: Float[np.ndarray, " q"]
    objective: float
    """Summed Huber loss of ln L."""
    starts: int
    agreeing: int

    @property
    def parameters(self) -> dict[str, float]:
        """As reported, in the units of the inputs."""
        values = reported(self.law, self.theta, self.inputs).tolist()
        return dict(zip(self.law.parameter_names, values, strict=True))

    @property
    def ln_loss(self) -> Float[np.ndarray, " n"]:
        """Of the law for each run, over the runs' geometric mean."""
        return ln_loss_and_jacobian(self.law, self.theta, self.inputs)[0]

    def loss(self, runs: LossRuns) -> Float[np.ndarray, " n"]:
        """The law's loss for the sizes of `runs`, whose losses are not read."""
        return self.losses(self.theta, runs)

    def losses(
        self, theta: Float[np.ndarray, "*problems q"], runs: LossRuns
    ) -> Float[np.ndarray, "*problems n"]:
        """As `loss`, with the numbers of refits to the same inputs."""
        fresh = Inputs.of(self.law, runs)
        shifted = fresh.ln_inputs + fresh.centre - self.inputs.centre
        moved = replace(self.inputs, ln_inputs=shifted, recursions=fresh.recursions)
        return np.asarray(np.exp(ln_loss_and_jacobian(self.law, theta, moved)[0] + self.inputs.ln_unit))

    @property
    def residual_sd(self) -> float:
        """Of ln L, over the residual degrees of freedom."""
        residual = self.ln_loss - self.inputs.ln_loss
        return float(np.sqrt((residual**2).sum() / max(1, residual.size - self.law.parameter_count)))

    @property
    def condition(self) -> float:
        """Condition number of ln L's derivatives by theta."""
        _, jacobian = ln_loss_and_jacobian(self.law, self.theta, self.inputs)
        singular = np.linalg.svd(jacobian, compute_uv=False)
        return float(singular[0] / singular[-1]) if singular[-1] > 0 else float("inf")


def reported(
    law: LossLaw, theta: Float[np.ndarray, "*problems q"], inputs: Inputs
) -> Float[np.ndarray, "*problems q"]:
    """theta in the units of the inputs, in the order of `law.parameter_names`."""
    t, values = law.terms, theta.copy()
    values[..., 1 : 1 + t] += theta[..., 1 + t : 1 + 2 * t] * inputs.centre
    values[..., : 1 + t] = np.exp(values[..., : 1 + t] + inputs.ln_unit)
    if law.recursion == "saturating":
        values[..., -1] = np.exp(theta[..., -1])
    return values


def theta_of(law: LossLaw, parameters: Mapping[str, float], inputs: Inputs) -> Float[np.ndarray, " q"]:
    """The inverse of `reported`."""
    t = law.terms
    given = np.array([parameters[name] for name in law.parameter_names])
    exponents = given[1 + t : 1 + 2 * t]
    theta = given.copy()
    theta[: 1 + t] = np.log(np.maximum(given[: 1 + t], 1e-300)) - inputs.ln_unit
    theta[1 : 1 + t] -= exponents * inputs.centre
    if law.recursion == "saturating":
        theta[-1] = np.log(given[-1])
    return np.clip(theta, *law.bounds.T)


def search_loss(
    law: LossLaw, inputs: Inputs, starts: Sequence[Float[np.ndarray, " q"]] | int = THOROUGH
) -> FittedLoss:
    """The best theta, from `starts` or from that many of a grid."""
    chosen = np.array(grid_starts(law, inputs, starts) if isinstance(starts, int) else starts)
    near, _ = descend_loss(law, inputs, chosen, inputs.ln_loss[None], np.ones((1, inputs.ln_loss.size)))
    ends = [_polish(law, inputs, theta) for theta in near]
    theta, least = min(ends, key=lambda end: end[1])
    agreeing = sum(value <= least + _SAME * max(HUBER_DELTA, least) for _, value in ends)
    return FittedLoss(law, inputs, theta, least, len(ends), agreeing)


def descend_loss(
    law: LossLaw,
    inputs: Inputs,
    starts: Float[np.ndarray, "P q"],
    ln_loss: Float[np.ndarray, "#P n"],
    weight: Float[np.ndarray, "#P n"],
) -> tuple[Float[np.ndarray, "P q"], Float[np.ndarray, " P"]]:
    """theta with the least weighted sum of Huber's loss near each start, and that sum.

    `ln_loss` are the losses to fit, in the place of those in `inputs`. Huber's loss of a residual lies
    below a parabola that touches it, of curvature delta / |residual| beyond delta: that is the curvature
    to step by.
    """
    shape = (len(starts), inputs.ln_loss.size)
    every_loss, every_weight = np.broadcast_to(ln_loss, shape), np.broadcast_to(weight, shape)

    def look(theta: np.ndarray, problems: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        fitted, jacobian = ln_loss_and_jacobian(law, theta, inputs)
        residual, own = fitted - every_loss[problems], every_weight[problems]
        value, slope = huber(residual)
        bend = own * HUBER_DELTA / np.maximum(np.abs(residual), HUBER_DELTA)
        gradient = (jacobian * (own * slope)[..., None]).sum(-2)
        return (own * value).sum(-1), gradient, np.swapaxes(jacobian * bend[..., None], -1, -2) @ jacobian

    return descend(look, starts, law.bounds)


def _polish(law: LossLaw, inputs: Inputs, theta: np.ndarray) -> tuple[np.ndarray, float]:
    """To the last digits, by an optimiser that keeps to the bounds."""

    def value_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        ln_loss, jacobian = ln_loss_and_jacobian(law, theta, inputs)
        value, slope = huber(ln_loss - inputs.ln_loss)
        return float(value.sum()) / HUBER_DELTA, jacobian.T @ slope / HUBER_DELTA

    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000, "maxfun": 20000}
    end = minimize(value_and_gradient, theta, jac=True, method="L-BFGS-B", bounds=law.bounds, options=options)
    return end.x, float(end.fun) * HUBER_DELTA


def refit_loss(fitted: FittedLoss, runs: LossRuns) -> FittedLoss:
    """The same law on other runs, from where it stood."""
    inputs = Inputs.of(fitted.law, runs)
    return search_loss(fitted.law, inputs, [theta_of(fitted.law, fitted.parameters, inputs)])


def grid_starts(law: LossLaw, inputs: Inputs, count: int) -> list[Float[np.ndarray, " q"]]:
    """The best `count` of all exponents on a grid, with the linear numbers that are best for each."""
    found = []
    for *exponents, recursion in product(*[_EXPONENT_GRID] * law.terms, _RECURSION_GRID[law.recursion]):
        sizes = inputs.ln_inputs.copy()
        if law.size:
            sizes[:, 0] += ln_gain(law.recursion, np.array([recursion]), inputs.recursions)[0]
        powers = np.exp(-np.array(exponents) * sizes)
        # Divided by the loss, so that residuals are relative as those of ln L are.
        basis = np.column_stack([np.ones(len(sizes)), powers]) / np.exp(inputs.ln_loss)[:, None]
        linear, misfit = nnls(basis, np.ones(len(sizes)))
        ln_linear = np.log(np.maximum(linear, np.exp(LEAST_LOG / 5)))
        last = [] if law.recursion == "none" else [recursion]
        found.append((misfit, np.clip(np.concatenate([ln_linear, exponents, last]), *law.bounds.T)))
    return [theta for _, theta in sorted(found, key=lambda pair: pair[0])[:count]]
