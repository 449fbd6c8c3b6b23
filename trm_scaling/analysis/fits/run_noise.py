"""Noise of a law's points where a run has several: each run's luck, and that of its points.

A run is off by a normal amount, and by another that shows along its data: for a sum of powers in proportion
to ln D; for an onset most where errors fall fastest, since runs take off early or late. Then each point
of it is off. The variances are estimated from the residuals of ln L by moments.

Shapes: R simulated studies, G runs, n points, m places, k kinds of luck.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Int

from trm_scaling.analysis.fits.loss_law import Inputs, Law
from trm_scaling.analysis.fits.loss_search import FittedLoss
from trm_scaling.analysis.fits.resampling import noise_scale
from trm_scaling.analysis.runs import LossRuns


@dataclass(frozen=True)
class RunNoise:
    """Variances of ln L around a fitted law."""

    fitted: FittedLoss
    codes: Int[np.ndarray, " n"]
    """Of the runs that the points belong to."""
    of_points: float
    of_runs: Float[np.ndarray, " k"]
    freedom: int
    """That the variances of runs were estimated with."""

    @classmethod
    def of(cls, fitted: FittedLoss, cluster: Int[np.ndarray, " n"]) -> Self:
        """From the residuals of `fitted`."""
        _, codes = np.unique(cluster, return_inverse=True)
        count, n, q = int(codes.max()) + 1, codes.size, fitted.theta.size
        basis = _basis(fitted.law, fitted.theta, fitted.inputs)
        if (np.bincount(codes) <= basis.shape[1]).any():
            basis = basis[:, :1]
        lucks: list[np.ndarray] = []
        own: list[np.ndarray] = []
        rest = np.empty(n)
        for code in range(count):
            rows = codes == code
            inverse = np.linalg.pinv(basis[rows])
            lucks.append(inverse @ fitted.residual[rows])
            own.append((inverse**2).sum(1))
            rest[rows] = fitted.residual[rows] - basis[rows] @ lucks[-1]
        between, within = max(1, count - (q + 1) // 2), max(1, n - count * basis.shape[1])
        of_points = float((rest**2).sum()) / within
        found = (np.array(lucks) ** 2).sum(0) / between - of_points * np.mean(own, axis=0)
        return cls(fitted, codes, of_points, np.maximum(0.0, found), between)

    def studies(self, replicates: int, rng: np.random.Generator) -> Float[np.ndarray, "R n"]:
        """ln of the losses that the law would have given, with fresh noise of runs and of their points."""
        basis = _basis(self.fitted.law, self.fitted.theta, self.fitted.inputs)
        count = int(self.codes.max()) + 1
        scale = np.sqrt([noise_scale(self.freedom, rng) for _ in range(replicates)])[:, None]
        noise = np.sqrt(self.of_points) * rng.normal(size=(replicates, self.codes.size))
        for column, variance in zip(basis.T, self.of_runs, strict=False):
            noise += np.sqrt(variance) * rng.normal(size=(replicates, count))[:, self.codes] * column
        return self.fitted.ln_loss + scale * noise

    def variance(self, places: LossRuns) -> Float[np.ndarray, " m"]:
        """Of one run's ln L at each place."""
        basis = _basis(self.fitted.law, self.fitted.theta, self.fitted.moved(places))
        kinds = len(self.of_runs)
        return np.asarray(self.of_points + (basis[:, :kinds] ** 2 * self.of_runs).sum(1))


def _basis(law: Law, theta: Float[np.ndarray, " q"], inputs: Inputs) -> Float[np.ndarray, "n k"]:
    ones, along = np.ones(len(inputs.ln_inputs)), law.along_data(theta, inputs)
    return np.column_stack([ones] if along is None else [ones, along])
