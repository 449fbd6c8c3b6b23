"""Refits side by side are the refits that one would make one by one."""

from typing import Literal

import numpy as np
import pytest
from scipy.special import expit

from tests.analysis.studies import SIX_SIZES, accuracy_runs, loss_runs
from trm_scaling.analysis.fits.descent import descend
from trm_scaling.analysis.fits.draws import Draws
from trm_scaling.analysis.fits.fitted import fit_form, refit
from trm_scaling.analysis.fits.forms import Scale
from trm_scaling.analysis.fits.likelihood import Likelihood
from trm_scaling.analysis.fits.loss_law import HUBER_DELTA, Inputs, LossLaw, huber
from trm_scaling.analysis.fits.loss_search import refit_loss, refits, reweighted, search_loss, simulated
from trm_scaling.analysis.fits.resampling import resample_clusters, simulate

LOSSES = np.linspace(0.2, 0.9, 14)


@pytest.mark.parametrize("likelihood", ["least_squares", "binomial", "beta_binomial"])
@pytest.mark.parametrize("form", ["loss_sigmoid", "logit_linear"])
def test_shapes_of_two_numbers(likelihood: Likelihood, form: Literal["loss_sigmoid", "logit_linear"]) -> None:
    rng = np.random.default_rng(0)
    runs = accuracy_runs(0.9 * expit((0.5 - LOSSES) / 0.1), LOSSES, rng, seeds=2, sd=0.02, total=500)
    fitted = fit_form(runs, form, likelihood, Scale.of(LOSSES))
    studies = [simulate(fitted, runs, rng) for _ in range(5)]
    rows = [resample_clusters(runs.configurations, rng) for _ in range(5)]
    drawn = [Draws.of_simulated(fitted, studies), Draws.of_resampled(fitted, runs, rows)]
    for draws, alone in zip(drawn, (studies, [runs.take(each) for each in rows]), strict=True):
        expected = [refit(fitted, each) for each in alone]
        for name, values in draws.parameters.items():
            assert values == pytest.approx([each.parameters[name] for each in expected], rel=1e-3), name
        assert draws.rate(LOSSES) == pytest.approx(np.array([e.rate(LOSSES) for e in expected]), abs=1e-4)


def test_laws_of_the_loss() -> None:
    rng, law = np.random.default_rng(0), LossLaw(data=False)
    sizes = np.repeat(SIX_SIZES, 3)
    runs = loss_runs(0.2 + 0.8 * (sizes / 1e6) ** -0.35, rng, 0.02, params=sizes)
    fitted = search_loss(law, Inputs.of(law, runs))
    rows = [resample_clusters(runs.configurations, rng) for _ in range(5)]
    theta = refits(fitted, *reweighted(fitted, rows))
    for found, row in zip(theta, rows, strict=True):
        expected = refit_loss(fitted, runs.take(row))
        ln_loss, _ = law.ln_loss(found, fitted.inputs)
        value = huber(ln_loss - fitted.inputs.ln_loss)[0][row].sum()
        assert value == pytest.approx(expected.objective, rel=1e-3)
    ln_loss, weight = simulated(fitted, 4000, rng)
    assert weight.tolist() == [[1.0] * 18]
    assert ln_loss.mean(0) == pytest.approx(fitted.ln_loss, abs=4 * fitted.residual_sd / np.sqrt(4000))


def test_steps_keep_to_the_box_and_end_at_its_least() -> None:
    """Parabolas around centres inside and outside the box: the nearest point of it."""
    centres = np.array([[0.5, 0.5], [2.0, 0.5], [2.0, -3.0]])

    def look(theta: np.ndarray, problems: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        away = theta - centres[problems]
        return (away**2).sum(-1), 2 * away, np.tile(2 * np.eye(2), (len(theta), 1, 1))

    theta, value = descend(look, np.full((3, 2), 0.1), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert theta == pytest.approx(np.array([[0.5, 0.5], [1.0, 0.5], [1.0, 0.0]]), abs=1e-4)
    assert value == pytest.approx([0.0, 1.0, 10.0], abs=1e-6)


def test_a_number_that_changes_nothing_stops_nothing() -> None:
    def look(theta: np.ndarray, problems: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        away = np.array([[1.0, 0.0]]) * (theta - 0.5)
        return (away**2).sum(-1), 2 * away, np.diag([2.0, 0.0])[None]

    theta, _ = descend(look, np.array([[0.1, 0.7]]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert theta[0] == pytest.approx([0.5, 0.7], abs=1e-4)


def test_residuals_beyond_delta_pull_with_one_force() -> None:
    assert huber(np.array([10.0]))[1] == HUBER_DELTA
