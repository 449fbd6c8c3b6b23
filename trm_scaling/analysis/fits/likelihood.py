"""How far n runs are from the accuracies a law gives them: three likelihoods, each convex in the accuracy.

- least squares: y = p + noise of one size;
- binomial: solved of total, then over-dispersion as one factor on its variance (quasi-binomial);
- beta-binomial: every training run has its own true rate around p, with variance rho p (1 - p).

The dispersion (noise variance, factor, rho) comes from the squared residuals over their degrees of
freedom, because the maximum of a likelihood puts it too low: with six runs and three parameters by
half. Given rho, a beta-binomial counts as a binomial of n / (1 + (n - 1) rho) puzzles (Williams, 1982):
its quasi-likelihood, which is right whenever the variance is. The maximum of the beta-binomial density
itself is not, for a run near 0 or 1 pulls it: over 30 simulated studies whose seeds differed normally
it put an asymptote of 0.950 at 0.961 +- 0.014, the quasi-likelihood at 0.949 +- 0.006.

Shapes: independent problems in front, n runs.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq, minimize_scalar
from scipy.special import betaln, gammaln, xlogy

Likelihood = Literal["least_squares", "binomial", "beta_binomial"]

_LEAST_VARIANCE = 1e-24
_MOST_RHO = 0.999


@dataclass(frozen=True)
class Outcome:
    """The observed side of a likelihood."""

    likelihood: Likelihood
    rate: Float[np.ndarray, "*#problems n"]
    total: Float[np.ndarray, " n"]
    """Puzzles; ones under least squares, which does not read them."""
    rho: float = 0.0
    """Of the beta-binomial: the correlation of two puzzles of one run. 0 makes it binomial."""

    @property
    def margin(self) -> float:
        """How far accuracies stay from 0 and 1, where a count has no likelihood."""
        return 0.0 if self.likelihood == "least_squares" else 1e-6

    @property
    def effective(self) -> Float[np.ndarray, " n"]:
        """Independent puzzles that each count is worth."""
        return self.total / (1 + (self.total - 1) * self.rho)

    def objective(self, p: Float[np.ndarray, "*problems n"]) -> Float[np.ndarray, "*problems"]:
        """Half the sum of squares, or half the binomial deviance of the effective counts."""
        return np.asarray(self.distances(p).sum(-1))

    def distances(self, p: Float[np.ndarray, "*problems n"]) -> Float[np.ndarray, "*problems n"]:
        """What each run adds to the objective."""
        if self.likelihood == "least_squares":
            return np.asarray(0.5 * (self.rate - p) ** 2)
        rate = self.rate
        saturated = xlogy(rate, rate) + xlogy(1 - rate, 1 - rate)
        return np.asarray(self.effective * (saturated - rate * np.log(p) - (1 - rate) * np.log1p(-p)))

    def derivatives(
        self, p: Float[np.ndarray, "*problems n"]
    ) -> tuple[Float[np.ndarray, "*problems n"], Float[np.ndarray, "*problems n"]]:
        """First and second derivative of the objective by each accuracy; the second is positive."""
        if self.likelihood == "least_squares":
            return p - self.rate, np.ones_like(p)
        solved, failed = self.rate / p, (1 - self.rate) / (1 - p)
        return self.effective * (failed - solved), self.effective * (solved / p + failed / (1 - p))

    def variance(self, p: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Of each rate around p, up to the factor that `dispersion` finds."""
        if self.likelihood == "least_squares":
            return np.ones_like(p)
        return p * (1 - p) / self.effective

    def dispersion(self, p: Float[np.ndarray, " n"], freedom: int) -> tuple[float, float]:
        """(factor on `variance`, rho) that make the squared residuals around p what they are.

        `freedom` is the residual degrees of freedom, positive. Counts are never under-dispersed.
        """
        squares = (self.rate - p) ** 2

        def pearson(rho: float) -> float:
            return float((squares / replace(self, rho=rho).variance(p)).sum() / freedom)

        match self.likelihood:
            case "least_squares":
                return max(pearson(0.0), _LEAST_VARIANCE), 0.0
            case "binomial":
                return max(pearson(0.0), 1.0), 0.0
            case "beta_binomial":
                if pearson(0.0) <= 1:
                    return 1.0, 0.0
                if pearson(_MOST_RHO) >= 1:
                    return 1.0, _MOST_RHO
                return 1.0, float(brentq(lambda rho: pearson(rho) - 1, 0.0, _MOST_RHO, xtol=1e-12))

    def minus_two_log_likelihood(self, p: Float[np.ndarray, " n"], factor: float) -> float:
        """For AICc, at the likelihood's own best dispersion around p; `factor` scales the quasi-binomial."""
        n = p.size
        if self.likelihood == "least_squares":
            mean_square = max(float(((self.rate - p) ** 2).mean()), _LEAST_VARIANCE)
            return float(n * (np.log(2 * np.pi * mean_square) + 1))
        solved, failed = self.rate * self.total, (1 - self.rate) * self.total
        ways = float((gammaln(self.total + 1) - gammaln(solved + 1) - gammaln(failed + 1)).sum())
        binomial = -float((xlogy(solved, p) + xlogy(failed, 1 - p)).sum()) - ways
        if self.likelihood == "binomial":
            return 2 * binomial / factor

        def at(logit_rho: float) -> float:
            spread = np.exp(-logit_rho)  # (1 - rho) / rho
            alpha, beta = p * spread, (1 - p) * spread
            return float((betaln(alpha, beta) - betaln(alpha + solved, beta + failed)).sum()) - ways

        best = minimize_scalar(at, bounds=(-16.0, 5.0), method="bounded", options={"xatol": 1e-6})
        return 2 * min(float(best.fun), binomial)
