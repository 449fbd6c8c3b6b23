"""Refits of one form of accuracy, and what each of them says.

Shapes: R refits, d numbers in eta, n runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Int

from trm_scaling.analysis.fits.fitted import Fitted, refit
from trm_scaling.analysis.fits.forms import (
    Form,
    Scale,
    eta_bounds,
    linear_parameters,
    shape,
    shape_parameters,
)
from trm_scaling.analysis.runs import AccuracyRuns


@dataclass(frozen=True)
class Draws:
    """R curves of one form."""

    form: Form
    scale: Scale
    eta: Float[np.ndarray, "R d"]
    beta: Float[np.ndarray, "R 2"]

    @property
    def parameters(self) -> dict[str, Float[np.ndarray, " R"]]:
        """As reported, in the units of x."""
        linear = linear_parameters(self.form, self.eta, self.scale)
        found = {name: np.asarray((at * self.beta).sum(-1)) for name, at in linear.items()}
        return found | shape_parameters(self.form, self.eta, self.scale)

    def rate(self, x: Float[np.ndarray, " m"]) -> Float[np.ndarray, "R m"]:
        """Each curve's accuracy at each x."""
        w, _ = shape(self.form, self.eta, x, self.scale)
        return np.clip(self.beta[:, :1] * (1 - w) + self.beta[:, 1:] * w, 0.0, 1.0)

    @classmethod
    def of_simulated(cls, fitted: Fitted, studies: Sequence[AccuracyRuns]) -> Self:
        """Refits of the runs that `fitted` was fitted to, with other outcomes."""
        if len(eta_bounds(fitted.problem.form, fitted.problem.scale)) == 2:
            rates = np.array([study.accuracy for study in studies])
            return cls._side_by_side(fitted, rates, np.ones_like(rates))
        return cls._one_by_one(fitted, studies)

    @classmethod
    def of_resampled(cls, fitted: Fitted, runs: AccuracyRuns, rows: Sequence[Int[np.ndarray, " n"]]) -> Self:
        """Refits of the rows of `runs`, which `fitted` was fitted to."""
        if len(eta_bounds(fitted.problem.form, fitted.problem.scale)) == 2:
            weight = np.array([np.bincount(each, minlength=runs.x.size) for each in rows], dtype=float)
            return cls._side_by_side(fitted, np.broadcast_to(runs.accuracy, weight.shape), weight)
        return cls._one_by_one(fitted, [runs.take(each) for each in rows])

    @classmethod
    def _one_by_one(cls, fitted: Fitted, studies: Sequence[AccuracyRuns]) -> Self:
        fits = [refit(fitted, study).optimum for study in studies]
        eta, beta = ([each.eta for each in fits], [each.solved.beta for each in fits])
        return cls(fitted.problem.form, fitted.problem.scale, np.array(eta), np.array(beta))

    @classmethod
    def _side_by_side(cls, fitted: Fitted, rates: np.ndarray, weight: np.ndarray) -> Self:
        """Shapes of two numbers, all at once from where the fit stands."""
        problem = fitted.problem
        starts = np.tile(fitted.optimum.eta, (len(rates), 1))
        eta, beta, _ = problem.descend(starts, rates, weight, float(fitted.optimum.solved.beta[1]))
        return cls(problem.form, problem.scale, eta, beta)
