"""One form fitted to one set of runs, dispersion included: what intervals, rivals and verdicts start from."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from trm_scaling.analysis.fits.forms import (
    Form,
    Scale,
    free_directions,
    linear_parameters,
    parameter_count,
    shape,
    shape_parameters,
)
from trm_scaling.analysis.fits.likelihood import Likelihood, Outcome
from trm_scaling.analysis.fits.profile import QUICK, Optimum, Problem, search
from trm_scaling.analysis.runs import AccuracyRuns

_RHO_ROUNDS = 4
"""Mean and dispersion of a beta-binomial are nearly orthogonal: rho stands still after two or three."""


@dataclass(frozen=True)
class Fitted:
    """The best curve of one form."""

    problem: Problem
    optimum: Optimum
    factor: float
    """Dispersion: the noise variance of least squares, the factor of a quasi-binomial, else 1."""
    freedom: int
    """Runs less parameters; positive."""

    @property
    def parameters(self) -> dict[str, float]:
        """As reported, in the units of x."""
        form, scale, eta = self.problem.form, self.problem.scale, self.optimum.eta
        linear = linear_parameters(form, eta, scale)
        return {name: float(at @ self.optimum.solved.beta) for name, at in linear.items()} | {
            name: float(value) for name, value in shape_parameters(form, eta, scale).items()
        }

    def rate(self, x: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """The law's accuracy at each x."""
        w, _ = shape(self.problem.form, self.optimum.eta, x, self.problem.scale)
        start, end = self.optimum.solved.beta
        return np.clip(start * (1 - w) + end * w, 0.0, 1.0)

    def run_sd(self, p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Standard deviation of a new run's accuracy around p, tested on as many puzzles as these were."""
        outcome = self.problem.outcome
        typical = replace(outcome, total=np.full_like(p, np.median(outcome.total)))
        return np.sqrt(self.factor * typical.variance(p))

    @property
    def condition(self) -> float:
        """Of the curve's derivatives by its free numbers, each run weighed by its precision."""
        outcome, solved = self.problem.outcome, self.optimum.solved
        w, by_eta = shape(self.problem.form, self.optimum.eta, self.problem.x, self.problem.scale)
        by_beta = free_directions(self.problem.form) @ np.stack([1 - w, w])
        jacobian = np.concatenate([by_beta, (solved.beta[1] - solved.beta[0]) * by_eta])
        precision = 1 / np.sqrt(outcome.variance(np.clip(solved.p, 1e-6, 1 - 1e-6)))
        singular = np.linalg.svd(jacobian * precision, compute_uv=False)
        return float(singular[0] / singular[-1]) if singular[-1] > 0 else float("inf")

    def aicc(self, factor: float) -> float | None:
        """Akaike's criterion corrected for few runs (Hurvich & Tsai, 1989); None when they are too few.

        The dispersion counts as a parameter. `factor` divides a quasi-binomial's deviance (QAICc) and
        must be the same for all forms compared.
        """
        n, k = self.problem.x.size, parameter_count(self.problem.form) + 1
        if n <= k + 1:
            return None
        twice = self.problem.outcome.minus_two_log_likelihood(self.optimum.solved.p, factor)
        return twice + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def fit_form(runs: AccuracyRuns, form: Form, likelihood: Likelihood, scale: Scale) -> Fitted:
    """The best curve of `form` through `runs`, which must be more than its parameters."""
    freedom = runs.x.size - parameter_count(form)
    total = np.ones_like(runs.x) if runs.total is None else runs.total
    outcome = Outcome(likelihood, runs.accuracy, total)
    problem = Problem(form, runs.x, outcome, scale)
    optimum = search(problem)
    factor, rho = outcome.dispersion(optimum.solved.p, freedom)
    for _ in range(_RHO_ROUNDS if rho > 0 else 0):
        problem = replace(problem, outcome=replace(outcome, rho=rho))
        optimum = search(problem)
        before, (factor, rho) = rho, outcome.dispersion(optimum.solved.p, freedom)
        if abs(rho - before) < 1e-3 * before:
            break
    return Fitted(problem, optimum, factor, freedom)


def refit(fitted: Fitted, runs: AccuracyRuns) -> Fitted:
    """The same form on resampled or simulated runs, with the dispersion that was found."""
    total = np.ones_like(runs.x) if runs.total is None else runs.total
    outcome = replace(fitted.problem.outcome, rate=runs.accuracy, total=total)
    problem = replace(fitted.problem, x=runs.x, outcome=outcome)
    return replace(fitted, problem=problem, optimum=search(problem, QUICK))
