"""Laws of accuracy: planted parameters come back, and what the data do not say is not said."""

import numpy as np
import pytest

from tests.analysis.studies import SIX_SIZES, accuracy_runs, saturating
from trm_scaling.analysis import AccuracyRuns, fit_accuracy
from trm_scaling.analysis.fits.accuracy import OF_SIZE
from trm_scaling.analysis.fits.fitted import fit_form
from trm_scaling.analysis.fits.forms import Scale
from trm_scaling.analysis.fits.likelihood import Likelihood
from trm_scaling.analysis.fits.region import Region
from trm_scaling.analysis.runs import Configurations
from trm_scaling.errors import UserError

LIKELIHOODS: tuple[Likelihood, ...] = ("least_squares", "binomial", "beta_binomial")


def scaled(runs: AccuracyRuns, unit: float) -> AccuracyRuns:
    return AccuracyRuns(runs.configurations, runs.x / unit, runs.accuracy, runs.total)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_counts_and_millions_give_one_exponent(likelihood: Likelihood) -> None:
    runs = accuracy_runs(
        saturating(SIX_SIZES), SIX_SIZES, np.random.default_rng(0), seeds=3, sd=0.02, total=1000
    )
    raw, millions = (fit_accuracy(each, likelihood=likelihood) for each in (runs, scaled(runs, 1e6)))
    assert raw.values["c"] == pytest.approx(millions.values["c"], abs=1e-6)
    assert raw.values["a"] == pytest.approx(millions.values["a"], abs=1e-6)
    # b carries the unit: b x^-c is the same curve.
    assert raw.values["b"] == pytest.approx(millions.values["b"] * 1e6 ** raw.values["c"], rel=1e-4)
    for one, other in zip(raw.parameters[::2], millions.parameters[::2], strict=True):
        assert one.interval is not None
        assert other.interval is not None
        assert one.interval.ends == pytest.approx(other.interval.ends, abs=1e-5)


@pytest.mark.parametrize("c", [0.1, 0.35, 1.5])
def test_a_law_without_noise_comes_back_whole(c: float) -> None:
    fit = fit_accuracy(accuracy_runs(saturating(SIX_SIZES, c=c), SIX_SIZES, np.random.default_rng(0)))
    assert fit.values == pytest.approx({"a": 0.95, "b": 0.4 * SIX_SIZES[0] ** c, "c": c}, rel=1e-6)
    assert fit.verdict.word == "identified"
    assert fit.agreeing == fit.starts
    assert fit.extrapolation is not None
    assert fit.extrapolation.error == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("likelihood", ["least_squares", "beta_binomial"])
@pytest.mark.parametrize("seed", range(4))
def test_six_points_on_a_plateau_identify_nothing(likelihood: Likelihood, seed: int) -> None:
    rng = np.random.default_rng(seed)
    runs = accuracy_runs(np.full(6, 0.85), SIX_SIZES, rng, sd=0.02, total=2000)
    verdict = fit_accuracy(runs, likelihood=likelihood).verdict
    assert verdict.word == "not identified"
    assert verdict.reason


def test_falling_accuracy_is_no_power_law() -> None:
    rng = np.random.default_rng(0)
    runs = accuracy_runs(saturating(SIX_SIZES)[::-1].copy(), SIX_SIZES, rng, seeds=3, sd=0.01)
    assert fit_accuracy(runs).verdict.word == "not identified"


def test_a_step_after_the_smallest_has_no_exponent() -> None:
    rates = np.array([0.2, 0.8, 0.8, 0.8, 0.8, 0.8])
    fit = fit_accuracy(accuracy_runs(rates, SIX_SIZES, np.random.default_rng(0), seeds=3, sd=0.01))
    interval = fit.parameter("c").interval
    assert interval is not None
    assert interval.high is None
    assert fit.verdict.word == "not identified"
    assert "step" in fit.verdict.reason


def test_a_straight_line_in_the_logarithm_is_told_from_a_power_law() -> None:
    rates = 0.2 + 0.18 * np.log(SIX_SIZES / SIX_SIZES[0])
    fit = fit_accuracy(accuracy_runs(rates, SIX_SIZES, np.random.default_rng(0), seeds=5, sd=0.01))
    assert fit.verdict.word == "weakly identified"
    best = min(fit.rivals, key=lambda rival: rival.aicc or np.inf)
    assert best.law == "log_linear"
    assert {rival.law for rival in fit.rivals} == set(OF_SIZE) - {"saturating_power"}


def test_five_seeds_of_a_clear_law_identify_it() -> None:
    rng = np.random.default_rng(1)
    runs = accuracy_runs(saturating(SIX_SIZES, a=0.8, c=0.8), SIX_SIZES, rng, seeds=5, sd=0.01)
    fit = fit_accuracy(runs, predict=[1e8])
    assert fit.verdict.word == "identified"
    truth = float(saturating(np.append(SIX_SIZES, 1e8), a=0.8, c=0.8)[-1])
    (prediction,) = fit.predictions
    assert prediction.law is not None
    assert prediction.run is not None
    assert prediction.law.contains(truth)
    assert prediction.run.ends[0] < prediction.law.ends[0] < prediction.law.ends[1] < prediction.run.ends[1]
    assert all(len(rival.predictions) == 1 for rival in fit.rivals)


def test_seeds_are_no_replicates_where_configurations_miss_the_law() -> None:
    rng = np.random.default_rng(3)
    bumps = np.array([0.03, -0.03, 0.03, -0.03, 0.03, -0.03])
    smooth, bumpy = (
        accuracy_runs(saturating(SIX_SIZES) + bump, SIX_SIZES, rng, seeds=5, sd=0.005) for bump in (0, bumps)
    )
    of_runs, of_means = fit_accuracy(smooth), fit_accuracy(bumpy)
    assert of_runs.replicates.startswith("each run")
    assert of_means.replicates.startswith("each configuration's mean")
    assert of_means.runs == 30


def test_many_configurations_are_bootstrapped_by_cluster() -> None:
    x = np.geomspace(1e6, 5e7, 14)
    runs = accuracy_runs(saturating(x), x, np.random.default_rng(0), seeds=2, sd=0.01)
    fit, again = (fit_accuracy(runs, predict=[1e8], replicates=60, seed=7) for _ in range(2))
    interval = fit.parameter("c").interval
    assert interval is not None
    assert interval.method == "clustered bootstrap, 60 replicates"
    assert interval.contains(0.35)
    assert fit == again


def test_a_shape_of_two_numbers_is_bootstrapped() -> None:
    rng = np.random.default_rng(0)
    rates = 1 / (1 + np.exp(-np.log(SIX_SIZES / 5e6)))
    fit = fit_accuracy(accuracy_runs(rates, SIX_SIZES, rng, seeds=2, sd=0.01), "logit_linear", replicates=40)
    interval = fit.parameter("slope").interval
    assert interval is not None
    assert interval.method == "parametric bootstrap, 40 replicates"
    assert interval.contains(1.0)


def test_too_little_is_refused() -> None:
    rng = np.random.default_rng(0)
    two = accuracy_runs(np.array([0.4, 0.6]), SIX_SIZES[:2], rng, seeds=5, sd=0.01)
    with pytest.raises(UserError, match="10 runs at 2 values of x"):
        fit_accuracy(two)
    three = accuracy_runs(saturating(SIX_SIZES[:3]), SIX_SIZES[:3], rng)
    with pytest.raises(UserError, match="more than 3 runs"):
        fit_accuracy(three)
    with pytest.raises(UserError, match="needs counts"):
        fit_accuracy(accuracy_runs(saturating(SIX_SIZES), SIX_SIZES, rng), likelihood="binomial")
    with pytest.raises(UserError, match="positive"):
        fit_accuracy(accuracy_runs(saturating(SIX_SIZES), SIX_SIZES, rng), predict=[0.0])


def test_three_sizes_with_seeds_are_fitted_and_not_believed() -> None:
    sizes = SIX_SIZES[::2]
    fit = fit_accuracy(accuracy_runs(saturating(sizes), sizes, np.random.default_rng(0), seeds=4, sd=0.01))
    assert fit.verdict.word == "not identified"
    assert "3 different x" in fit.verdict.reason


def covered(studies: int, likelihood: Likelihood, seeds: int, sd: float, rng: np.random.Generator) -> float:
    """Share of studies whose interval holds the planted exponent."""
    hits = 0
    for _ in range(studies):
        runs = accuracy_runs(saturating(SIX_SIZES, a=0.85), SIX_SIZES, rng, seeds=seeds, sd=sd, total=2000)
        fitted = fit_form(runs, "saturating_power", likelihood, Scale.of(runs.x))
        hits += Region.of(fitted).parameters()["c"].contains(0.35)
    return hits / studies


def test_intervals_cover_the_planted_exponent() -> None:
    assert 0.85 <= covered(60, "least_squares", 1, 0.01, np.random.default_rng(0)) <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["least_squares", "beta_binomial"])
@pytest.mark.parametrize(("seeds", "sd"), [(1, 0.02), (3, 0.03)])
def test_intervals_cover_in_200_studies(likelihood: Likelihood, seeds: int, sd: float) -> None:
    assert 0.90 <= covered(200, likelihood, seeds, sd, np.random.default_rng(1)) <= 0.99


@pytest.mark.slow
def test_the_whole_fit_covers_in_200_studies() -> None:
    """As a user calls it, the choice of what counts as a replicate included."""
    rng, hits = np.random.default_rng(2), 0
    for _ in range(200):
        runs = accuracy_runs(saturating(SIX_SIZES, a=0.85), SIX_SIZES, rng, sd=0.02)
        interval = fit_accuracy(runs).parameter("c").interval
        hits += interval is not None and interval.contains(0.35)
    assert 0.90 <= hits / 200 <= 0.99


def test_a_perfect_constant_does_not_confuse_the_search() -> None:
    runs = AccuracyRuns(Configurations.of(range(6)), SIX_SIZES, np.full(6, 0.5), None)
    assert fit_accuracy(runs).verdict.word == "not identified"
    zeros = AccuracyRuns(Configurations.of(range(6)), SIX_SIZES, np.zeros(6), np.full(6, 500.0))
    assert fit_accuracy(zeros).verdict.word == "not identified"
