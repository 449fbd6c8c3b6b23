"""What speaks for and against a law: lack of fit, a constant, wide exponents, extrapolation, AICc."""

import numpy as np
import pytest
from scipy.stats import f as f_distribution
from scipy.stats import f_oneway, linregress

from tests.analysis.studies import SIX_SIZES, accuracy_runs, loss_runs, saturating
from trm_scaling.analysis import Interval, LossLaw, Rival, fit_loss
from trm_scaling.analysis.fits.evidence import flatness, verdict
from trm_scaling.analysis.fits.fitted import Fitted, fit_form
from trm_scaling.analysis.fits.forms import Scale
from trm_scaling.analysis.fits.loss_evidence import verdict as loss_verdict
from trm_scaling.analysis.fits.loss_law import HUBER_DELTA, Inputs, aicc
from trm_scaling.analysis.fits.loss_search import search_loss, simulated
from trm_scaling.analysis.fits.record import Extrapolation, Parameter
from trm_scaling.analysis.fits.region import Region
from trm_scaling.analysis.fits.replicates import lack_of_fit
from trm_scaling.analysis.runs import Configurations

EQUAL = Rival("log_linear", "", 2, 1.9, 1.9, None, ())
WORSE = Rival("log_linear", "", 2, 10.0, 10.0, None, ())
CLOSE, MISSED = Extrapolation(1, 0.01, 0.01), Extrapolation(1, -0.08, 0.08)


def fitted_law() -> Fitted:
    runs = accuracy_runs(saturating(SIX_SIZES), SIX_SIZES, np.random.default_rng(0), seeds=5, sd=0.005)
    return fit_form(runs, "saturating_power", "least_squares", Scale.of(SIX_SIZES))


@pytest.mark.parametrize(
    ("exponent", "rival", "missed", "word", "reason"),
    [
        (Interval(0.3, 0.5, ""), WORSE, CLOSE, "identified", "clearly less well"),
        (Interval(0.2, 0.9, ""), WORSE, CLOSE, "weakly identified", "factor of 4"),
        (Interval(None, 0.9, ""), WORSE, CLOSE, "weakly identified", "straight line"),
        (Interval(0.3, 0.5, ""), EQUAL, CLOSE, "weakly identified", "+1.9"),
        (Interval(0.3, 0.5, ""), WORSE, MISSED, "weakly identified", "misses them by 8.0 points"),
        (Interval(0.3, None, ""), WORSE, CLOSE, "not identified", "up to a step"),
        (None, WORSE, CLOSE, "not identified", "Every exponent"),
    ],
)
def test_the_first_reason_that_holds(
    exponent: Interval | None, rival: Rival, missed: Extrapolation, word: str, reason: str
) -> None:
    said = verdict(fitted_law(), exponent, [rival], missed)
    assert said.word == word
    assert reason in said.reason


def test_a_constant_that_does_as_well_speaks_against_a_law() -> None:
    runs = accuracy_runs(np.full(6, 0.8), SIX_SIZES, np.random.default_rng(0), seeds=5, sd=0.02)
    flat = fit_form(runs, "log_linear", "least_squares", Scale.of(SIX_SIZES))
    expected = linregress(np.log(runs.x), runs.accuracy).pvalue
    assert flatness(flat) == pytest.approx(expected)
    said = verdict(flat, None, [WORSE], CLOSE)
    assert said.word == "not identified"
    assert "A constant explains the runs as well" in said.reason


def test_lack_of_fit_is_the_textbook() -> None:
    """Against a constant, with equal numbers of replicates, it is the one-way analysis of variance."""
    rng = np.random.default_rng(0)
    groups = rng.normal([0.5, 0.52, 0.55, 0.5], 0.02, (3, 4)).T
    labels, values = np.repeat(np.arange(4), 3), groups.ravel()
    found = lack_of_fit(Configurations.of(labels), values, np.full(12, values.mean()), np.ones(12), 1)
    assert found == pytest.approx(f_oneway(*groups).pvalue)


def test_lack_of_fit_needs_replicates_and_configurations_to_spare() -> None:
    labels, values = Configurations.of([0, 0, 1, 1]), np.array([0.1, 0.1, 0.2, 0.2])
    assert lack_of_fit(labels, values, np.full(4, 0.15), np.ones(4), 1) == 0.0  # seeds alike, law off
    assert lack_of_fit(labels, values, values, np.ones(4), 1) is None
    assert lack_of_fit(labels, values, values, np.ones(4), 2) is None
    assert lack_of_fit(Configurations.of(range(4)), values, values, np.ones(4), 1) is None


def test_aicc_of_least_squares_is_the_textbook() -> None:
    fitted = fitted_law()
    n, k = 30, 4  # the noise counts
    squares = float(((fitted.problem.outcome.rate - fitted.optimum.solved.p) ** 2).sum())
    expected = n * (np.log(2 * np.pi * squares / n) + 1) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    assert fitted.aicc(fitted.factor) == pytest.approx(expected)


def test_aicc_of_the_loss_where_the_loss_is_quadratic() -> None:
    """Residuals far within delta: normal noise, whose criterion is known."""
    n, k = 12, 4
    noise_variance = (HUBER_DELTA / 100) ** 2
    expected = n * (np.log(2 * np.pi * noise_variance) + 1) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    assert aicc(3, n * noise_variance / 2, n) == pytest.approx(expected, rel=1e-4)
    assert aicc(3, 1.0, k + 1) is None


def test_a_loss_law_that_misses_the_largest_is_doubted() -> None:
    law, sizes = LossLaw(data=False), np.repeat(SIX_SIZES, 3)
    runs = loss_runs(0.2 + 0.8 * (sizes / 1e6) ** -0.35, np.random.default_rng(0), 0.01, params=sizes)
    fitted = search_loss(law, Inputs.of(law, runs))
    known = [Parameter(name, value, Interval(value, value, "")) for name, value in fitted.parameters.items()]
    assert loss_verdict(fitted, known, [WORSE], CLOSE).word == "identified"
    said = loss_verdict(fitted, known, [WORSE], MISSED)
    assert said.word == "weakly identified"
    assert "misses them by 8.0 %" in said.reason


def test_inputs_that_always_change_together_cannot_be_told_apart() -> None:
    loss = 0.2 + 0.8 * (SIX_SIZES / 1e6) ** -0.35
    sizes, losses = np.tile(SIX_SIZES, 4), np.tile(loss, 4)
    runs = loss_runs(
        losses, np.random.default_rng(0), 0.01, params=sizes, recursions=np.sqrt(sizes / sizes.min())
    )
    said = fit_loss(runs, replicates=50).verdict
    assert said.word == "not identified"
    assert "cannot be told apart" in said.reason


def test_simulated_noise_is_as_uncertain_as_its_estimate() -> None:
    """Over studies, mean square noise / estimate has the mean of freedom / chi-square: f / (f - 2)."""
    rng, law = np.random.default_rng(0), LossLaw(data=False)
    sizes = np.repeat(SIX_SIZES, 2)
    runs = loss_runs(0.2 + 0.8 * (sizes / 1e6) ** -0.35, rng, 0.02, params=sizes)
    fitted = search_loss(law, Inputs.of(law, runs))
    noise = simulated(fitted, 20_000, rng)[0] - fitted.ln_loss
    freedom = 12 - 3
    assert (noise**2).mean() / fitted.residual_sd**2 == pytest.approx(freedom / (freedom - 2), rel=0.03)


def test_an_f_test_of_three_against_one_parameter() -> None:
    fitted = fitted_law()
    total = float(((fitted.problem.outcome.rate - fitted.problem.outcome.rate.mean()) ** 2).sum())
    left = float(((fitted.problem.outcome.rate - fitted.optimum.solved.p) ** 2).sum())
    statistic = (total - left) / 2 / (left / 27)
    assert flatness(fitted) == pytest.approx(float(f_distribution.sf(statistic, 2, 27)))


def test_the_asymptote_is_an_accuracy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        runs = accuracy_runs(saturating(SIX_SIZES, a=1.0, c=0.2), SIX_SIZES, rng, seeds=5, sd=0.03)
        fitted = fit_form(runs, "saturating_power", "least_squares", Scale.of(SIX_SIZES))
        assert Region.of(fitted).parameters()["a"].ends[1] <= 1.0
