"""Bootstraps: what is drawn, and that they agree with theory where there is one."""

import numpy as np
import pytest

from tests.analysis.studies import SIX_SIZES, accuracy_runs
from trm_scaling.analysis.fits.fitted import fit_form
from trm_scaling.analysis.fits.forms import Scale
from trm_scaling.analysis.fits.region import Region
from trm_scaling.analysis.fits.resampling import bootstrap, resample_clusters, simulate
from trm_scaling.analysis.runs import Configurations


def test_configurations_are_drawn_whole_then_their_seeds() -> None:
    labels = np.repeat(np.arange(4), [1, 2, 3, 4])
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = labels[resample_clusters(Configurations.of(labels), rng)]
        counts = np.bincount(drawn, minlength=4)
        # A configuration drawn k times brings k times as many runs as it has.
        assert (counts % np.array([1, 2, 3, 4]) == 0).all()
        assert (counts / np.array([1, 2, 3, 4])).sum() == 4


def test_of_a_linear_law_the_bootstrap_is_the_t_interval() -> None:
    rng = np.random.default_rng(0)
    rates = 0.2 + 0.1 * np.log(SIX_SIZES / SIX_SIZES[0])
    runs = accuracy_runs(rates, SIX_SIZES, rng, sd=0.02)
    fitted = fit_form(runs, "log_linear", "least_squares", Scale.of(runs.x))
    asked = np.array([5e6])
    parameters, laws = bootstrap(fitted, runs, asked, "parametric", 4000, rng)
    region = Region.of(fitted)
    for found, expected in ((parameters["slope"], region.parameters()["slope"]), (laws[0], region.rate(5e6))):
        assert found is not None
        assert np.ptp(found.ends) == pytest.approx(np.ptp(expected.ends), rel=0.1)


@pytest.mark.parametrize("likelihood", ["binomial", "beta_binomial"])
def test_simulated_counts_scatter_as_the_counts_did(likelihood) -> None:
    rng = np.random.default_rng(0)
    runs = accuracy_runs(np.full(6, 0.7), SIX_SIZES, rng, seeds=20, sd=0.03, total=1000)
    fitted = fit_form(runs, "constant", likelihood, Scale.of(runs.x))
    studies = np.array([simulate(fitted, runs, rng).accuracy for _ in range(200)])
    assert studies.mean() == pytest.approx(runs.accuracy.mean(), abs=0.003)
    assert studies.std(axis=1).mean() == pytest.approx(runs.accuracy.std(), rel=0.05)
