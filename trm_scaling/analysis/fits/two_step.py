"""Accuracy through the loss: a law of the loss, then accuracy as a sigmoid of it.

Where both can be had, this extrapolates better than a law of accuracy itself (Bhagia et al., arXiv
2412.04403): a loss falls smoothly long before accuracy rises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trm_scaling.analysis.fits.accuracy import fit_accuracy
from trm_scaling.analysis.fits.draws import Draws
from trm_scaling.analysis.fits.fitted import Fitted, fit_form
from trm_scaling.analysis.fits.forms import Scale, accuracy_at, parameter_count
from trm_scaling.analysis.fits.likelihood import Likelihood
from trm_scaling.analysis.fits.loss import fit_loss, law_for, places
from trm_scaling.analysis.fits.loss_law import Inputs, LossLaw
from trm_scaling.analysis.fits.loss_search import (
    FittedLoss,
    refits,
    reweighted,
    search_loss,
    simulated,
)
from trm_scaling.analysis.fits.record import Extrapolation, Fit, Prediction
from trm_scaling.analysis.fits.resampling import ENOUGH_CONFIGURATIONS, resample_clusters, simulate
from trm_scaling.analysis.interval import Interval
from trm_scaling.analysis.runs import AccuracyRuns, LossRuns, largest
from trm_scaling.errors import UserError


@dataclass(frozen=True)
class TwoStep:
    """Both steps, and accuracy from sizes alone."""

    loss: Fit
    accuracy: Fit
    """Of the form `loss_sigmoid`."""
    predictions: tuple[Prediction, ...]
    """Accuracies; both steps' uncertainty is in the interval of the law, no single run's noise in any."""
    extrapolation: Extrapolation | None
    """Of accuracy, both steps fitted without the largest configurations."""


@dataclass(frozen=True)
class _Steps:
    loss: FittedLoss
    sigmoid: Fitted

    def accuracy(self, at: LossRuns) -> np.ndarray:
        return self.sigmoid.rate(self.loss.loss(at))


def fit_two_step(
    losses: LossRuns,
    accuracies: AccuracyRuns,
    law: LossLaw | None = None,
    *,
    likelihood: Likelihood | None = None,
    predict: Sequence[Mapping[str, float]] = (),
    replicates: int = 500,
    seed: int = 0,
) -> TwoStep:
    """Fit loss against size, data and recursion, and accuracy against loss, on the same runs.

    `losses` and `accuracies` are the same rows of one table, `accuracies` with the loss as x. The other
    arguments are those of `fit_loss` and `fit_accuracy`. Intervals come from refitting both steps to
    `replicates` resampled (12 configurations or more) or simulated studies.

    Raises UserError as those do, and when the two are not the same runs.
    """
    if losses.loss.shape != accuracies.x.shape or not np.array_equal(losses.loss, accuracies.x):
        raise UserError("accuracies must be the rows of losses, with the loss as x: make both of one table")
    law = law or law_for(losses)
    likelihood = likelihood or ("least_squares" if accuracies.total is None else "beta_binomial")
    first = fit_loss(losses, law, predict=predict, replicates=replicates, seed=seed)
    second = fit_accuracy(accuracies, "loss_sigmoid", likelihood=likelihood, replicates=replicates, seed=seed)
    scale = Scale.of(accuracies.x)
    steps = _Steps(
        search_loss(law, Inputs.of(law, losses)), fit_form(accuracies, "loss_sigmoid", likelihood, scale)
    )
    at = places(predict, law)
    found: list[Prediction] = []
    if at is not None:
        draws = _draws(steps, losses, accuracies, at, replicates, np.random.default_rng(seed))
        for place, value, column in zip(predict, steps.accuracy(at), draws.T, strict=True):
            method = f"bootstrap of both steps, {replicates} replicates"
            found.append(Prediction(dict(place), float(value), Interval.of_draws(column, method), None))
    return TwoStep(first, second, tuple(found), _extrapolation(steps, losses, accuracies))


def _draws(
    steps: _Steps,
    losses: LossRuns,
    accuracies: AccuracyRuns,
    at: LossRuns,
    replicates: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(replicates, places) accuracies of refitted steps."""
    if len(losses.configurations.names) >= ENOUGH_CONFIGURATIONS:
        rows = [resample_clusters(losses.configurations, rng) for _ in range(replicates)]
        theta = refits(steps.loss, *reweighted(steps.loss, rows))
        sigmoids = Draws.of_resampled(steps.sigmoid, accuracies, rows)
    else:
        theta = refits(steps.loss, *simulated(steps.loss, replicates, rng))
        studies = [simulate(steps.sigmoid, accuracies, rng) for _ in range(replicates)]
        sigmoids = Draws.of_simulated(steps.sigmoid, studies)
    parameters = {name: values[:, None] for name, values in sigmoids.parameters.items()}
    return accuracy_at("loss_sigmoid", parameters, steps.loss.losses(theta, at))


def _extrapolation(steps: _Steps, losses: LossRuns, accuracies: AccuracyRuns) -> Extrapolation | None:
    law, problem = steps.loss.law, steps.sigmoid.problem
    held = largest(losses.configurations, losses.ln_compute)
    rest = losses.take(~held)
    if rest.loss.size <= max(len(law.bounds), parameter_count("loss_sigmoid")):
        return None
    sigmoid = fit_form(accuracies.take(~held), "loss_sigmoid", problem.outcome.likelihood, problem.scale)
    smaller = _Steps(search_loss(law, Inputs.of(law, rest)), sigmoid)
    outside = accuracies.take(held).collapsed()
    errors = smaller.accuracy(losses.take(held).collapsed()) - outside.accuracy
    return Extrapolation(errors.size, float(errors.mean()), float(np.abs(errors).mean()))
