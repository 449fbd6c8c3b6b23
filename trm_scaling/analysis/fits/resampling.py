"""Bootstraps: what the fit would have been with other configurations and seeds, or with other noise."""

from typing import Literal

import numpy as np

from trm_scaling.analysis.fits.draws import Draws
from trm_scaling.analysis.fits.fitted import Fitted
from trm_scaling.analysis.fits.forms import eta_bounds, parameter_count
from trm_scaling.analysis.interval import Interval
from trm_scaling.analysis.runs import AccuracyRuns, Configurations

Bootstrap = Literal["clustered", "parametric"]
ENOUGH_CONFIGURATIONS = 12
"""Below this, resampling often leaves too few: of six sizes, three or fewer in a quarter of the draws."""


def resample_clusters(configurations: Configurations, rng: np.random.Generator) -> np.ndarray:
    """Rows of one replicate: configurations with replacement, then runs within each."""
    members = configurations.members
    chosen = rng.integers(len(members), size=len(members))
    return np.concatenate([rng.choice(members[code], size=members[code].size) for code in chosen])


def noise_scale(freedom: int, rng: np.random.Generator) -> float:
    """A draw of the variance given its estimate, over that estimate.

    With it the bootstrap of a linear law is its t-interval; without it, six runs give intervals that
    are too short by a third, since their noise is hardly known.
    """
    return float(freedom / rng.chisquare(freedom))


def simulate(fitted: Fitted, runs: AccuracyRuns, rng: np.random.Generator) -> AccuracyRuns:
    """The same runs as the law would have given them, with fresh noise."""
    outcome, p = fitted.problem.outcome, fitted.rate(runs.x)
    scale = noise_scale(fitted.freedom, rng)
    match outcome.likelihood:
        case "least_squares":
            return runs.with_accuracy(rng.normal(p, np.sqrt(fitted.factor * scale)))
        case "binomial":
            sd = np.sqrt(fitted.factor * scale * outcome.variance(p))
            return runs.with_accuracy(np.clip(rng.normal(p, sd), 0.0, 1.0))
        case "beta_binomial":
            inside = np.clip(p, outcome.margin, 1 - outcome.margin)
            rho = min(outcome.rho * scale, 0.99)
            true = rng.beta(inside * (1 - rho) / rho, (1 - inside) * (1 - rho) / rho) if rho > 0 else inside
            return runs.with_accuracy(rng.binomial(np.rint(outcome.total).astype(int), true) / outcome.total)


def bootstrap(
    fitted: Fitted,
    runs: AccuracyRuns,
    x: np.ndarray,
    kind: Bootstrap,
    replicates: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Interval | None], list[Interval | None]]:
    """Intervals for the reported parameters, and for the accuracy at each x.

    An end where the shape is at the limit of what was looked at is no end: it is None.
    """
    form, scale = fitted.problem.form, fitted.problem.scale
    if kind == "clustered":
        rows = [resample_clusters(runs.configurations, rng) for _ in range(replicates)]
        enough = [each for each in rows if np.unique(runs.x[each]).size >= parameter_count(form)]
        draws = Draws.of_resampled(fitted, runs, enough)
    else:
        draws = Draws.of_simulated(fitted, [simulate(fitted, runs, rng) for _ in range(replicates)])
    made = len(draws.beta)
    method = f"{kind} bootstrap, {made} replicates"
    # Too few different x to fit: where that is most replicates, there is no interval.
    missing = np.full(replicates - made, np.nan)

    def interval(values: np.ndarray) -> Interval | None:
        return Interval.of_draws(np.concatenate([values, missing]), method)

    parameters = {name: interval(values) for name, values in draws.parameters.items()}
    if (exponent := parameters.get("c")) is not None:
        least, most = np.exp(eta_bounds(form, scale)[0])
        parameters["c"] = exponent.open_at(least * 1.001, most * 0.999)
    return parameters, [interval(column) for column in draws.rate(x).T]
