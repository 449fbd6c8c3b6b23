"""Profiles of a law of the loss, where theory says what they are."""

import numpy as np
import pytest
from scipy.stats import linregress
from scipy.stats import t as t_distribution

from tests.analysis.planted import power_study
from trm_scaling.analysis import LossLaw, LossRuns, OnsetLaw, fit_loss, loss_parameters
from trm_scaling.analysis.fits import loss_profile
from trm_scaling.analysis.fits.loss_law import Inputs
from trm_scaling.analysis.fits.loss_search import QUICK, search_loss
from trm_scaling.analysis.fits.run_noise import RunNoise


def test_of_a_linear_law_the_profile_is_the_t_interval_over_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four points of a run say no more of the exponent than their mean: 16 degrees of freedom, not 70."""
    # Of least squares the 95th percentile of the shares is right; robust fits take a higher one.
    monkeypatch.setattr(loss_profile, "LEVEL_OF_SHARES", 0.95)
    rng = np.random.default_rng(0)
    size, seed, data = (
        each.ravel()
        for each in np.meshgrid(np.geomspace(1e4, 1e6, 6), np.arange(3), np.arange(1.0, 5), indexing="ij")
    )
    noise = np.repeat(rng.normal(0, 0.1, 18), 4) + rng.normal(0, 0.02, 72)
    table = {"configuration": size, "seed": seed, "params": size, "data": data}
    runs = LossRuns.of(table | {"loss": (size / 1e4) ** -0.4 * np.exp(noise)}, data="data")
    found = loss_parameters(runs, LossLaw(data=False, floor=False), delta=100.0, replicates=1000)
    alpha = {each.name: each for each in found}["alpha"]
    line = linregress(np.log(size).reshape(18, 4)[:, 0], np.log(runs.loss).reshape(18, 4).mean(1))
    assert alpha.value == pytest.approx(-line.slope, rel=1e-4)
    half = line.stderr * t_distribution.ppf(0.975, 16)
    assert alpha.interval is not None
    low, high = alpha.interval.ends
    assert alpha.value - low == pytest.approx(half, rel=0.12)
    assert high - alpha.value == pytest.approx(half, rel=0.12)


def test_simulated_runs_share_their_noise() -> None:
    """Runs differ by 8 %, points of a run by 3 % more: as planted, and as found in what is simulated."""
    found = []
    for seed in range(20):
        runs, _ = power_study(0.0, np.random.default_rng(seed))
        fitted = search_loss(LossLaw(floor=False), Inputs.of(LossLaw(floor=False), runs), QUICK, 100.0)
        assert runs.cluster is not None
        studies = RunNoise.of(fitted, runs.cluster).studies(200, np.random.default_rng(0))
        noise = studies - fitted.ln_loss
        by_run = noise[:, np.argsort(runs.cluster, kind="stable")].reshape(200, 18, 5)
        found.append((by_run.mean(2).std(), by_run.std(2).mean()))
    between, within = np.mean(found, axis=0)
    assert between == pytest.approx(0.08, rel=0.15)
    assert within == pytest.approx(0.03, rel=0.15)


def test_a_run_that_takes_off_late_is_noise_where_errors_fall() -> None:
    """Planted: runs differ by 15 % in when they take off, so by s x 0.15 x share still to fall in ln L."""
    rng = np.random.default_rng(0)
    size, data = (each.ravel() for each in np.meshgrid([2e4, 4e4, 8e4], 2e4 * 2.0 ** np.arange(8)))
    tau = 1e5 * (size / 4e4) ** -0.5
    columns: dict[str, list[float]] = {"params": [], "data": [], "seed": [], "loss": []}
    for seed in range(8):
        for each in np.unique(size):
            rows, luck = size == each, np.exp(rng.normal(0, 0.15))
            loss = 0.05 * (each / 4e4) ** -0.8 + 0.25 / (1 + (data[rows] / (tau[rows] * luck)) ** 4)
            columns["loss"] += list(loss * np.exp(rng.normal(0, 0.01, rows.sum())))
            columns["data"] += list(data[rows])
            columns["params"] += [each] * rows.sum()
            columns["seed"] += [seed] * rows.sum()
    runs = LossRuns.of({**columns, "configuration": columns["params"]}, data="data", seed="seed")
    fit = fit_loss(runs, OnsetLaw(), predict=[{"params": 4e4, "data": D} for D in (2e4, 1e5, 1.6e6)])
    widths = [float(np.log(each.run.ends[1] / each.run.ends[0])) for each in fit.predictions if each.run]
    # Before, at and long after the take-off of 1e5.
    # d ln L / d ln tau = s x 0.125 x 0.5 / 0.175.
    assert widths[1] == pytest.approx(2 * 1.96 * 0.15 * 4 * 0.125 * 0.5 / 0.175, rel=0.3)
    assert widths[0] < 0.3 * widths[1]
    assert widths[2] < 0.5 * widths[1]
