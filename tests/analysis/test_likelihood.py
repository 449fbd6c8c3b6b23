"""The likelihoods of counts, against SciPy's distributions and by differences."""

import numpy as np
import pytest
from scipy.stats import betabinom, binom

from tests.analysis.studies import accuracy_runs, saturating
from trm_scaling.analysis.fits.fitted import fit_form
from trm_scaling.analysis.fits.forms import Scale
from trm_scaling.analysis.fits.likelihood import Likelihood, Outcome

SOLVED, TOTAL = np.array([3.0, 40.0, 77.0, 100.0]), np.array([50.0, 80.0, 90.0, 100.0])
P = np.array([0.1, 0.45, 0.8, 0.97])


def outcome(likelihood: Likelihood, rho: float = 0.0) -> Outcome:
    return Outcome(likelihood, SOLVED / TOTAL, TOTAL, rho)


def test_beta_binomial_is_scipys() -> None:
    """For AICc: the density at its best rho."""

    def log_likelihood(rho: float) -> float:
        spread = (1 - rho) / rho
        return float(betabinom.logpmf(SOLVED, TOTAL, P * spread, (1 - P) * spread).sum())

    best = max(log_likelihood(rho) for rho in np.geomspace(1e-4, 0.5, 2000))
    found = outcome("beta_binomial").minus_two_log_likelihood(P, 1.0)
    assert found == pytest.approx(-2 * best, abs=1e-4)


def test_binomial_is_scipys() -> None:
    found = outcome("binomial").minus_two_log_likelihood(P, 1.0)
    assert found == pytest.approx(-2 * binom.logpmf(SOLVED, TOTAL, P).sum())


@pytest.mark.parametrize(
    ("likelihood", "rho"), [("least_squares", 0), ("binomial", 0), ("beta_binomial", 0.05)]
)
def test_derivatives(likelihood: Likelihood, rho: float) -> None:
    found, step = outcome(likelihood, rho), 1e-5
    first, second = found.derivatives(P)
    for index in range(P.size):
        h = np.zeros(P.size)
        h[index] = step
        up, here, down = (float(found.objective(P + way * h)) for way in (1, 0, -1))
        assert first[index] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-6)
        assert second[index] == pytest.approx((up - 2 * here + down) / step**2, rel=1e-3)
    assert (second > 0).all()


def test_a_spread_between_runs_is_found() -> None:
    rng = np.random.default_rng(0)
    p, rho, total = np.full(4000, 0.7), 0.01, np.full(4000, 500.0)
    spread = (1 - rho) / rho
    rate = rng.binomial(500, rng.beta(p * spread, (1 - p) * spread)) / 500
    assert Outcome("beta_binomial", rate, total).dispersion(p, 4000)[1] == pytest.approx(rho, rel=0.1)
    assert Outcome("binomial", rate, total).dispersion(p, 4000)[0] == pytest.approx(1 + 499 * rho, rel=0.1)


def test_counts_are_never_too_regular() -> None:
    p = np.full(5, 0.7)
    exact = Outcome("beta_binomial", p, np.full(5, 500.0))
    assert exact.dispersion(p, 2) == (1.0, 0.0)


def test_a_law_is_found_whatever_the_distribution_of_seeds() -> None:
    """Seeds that differ normally are no beta distribution; runs at exactly 1 must not pull the asymptote."""
    x, asymptotes = np.geomspace(1e5, 1e9, 67), []
    for study in range(8):
        rng = np.random.default_rng(study)
        runs = accuracy_runs(saturating(x, a=0.95), x, rng, seeds=5, sd=0.03, total=422_786)
        fitted = fit_form(runs, "saturating_power", "beta_binomial", Scale.of(x))
        asymptotes.append(fitted.parameters["a"])
    assert np.mean(asymptotes) == pytest.approx(0.95, abs=0.006)
