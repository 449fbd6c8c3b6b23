"""Accuracy through the loss."""

import numpy as np
import pytest
from scipy.special import expit

from trm_scaling.analysis import AccuracyRuns, LossRuns, fit_two_step
from trm_scaling.errors import UserError


def test_accuracy_of_a_larger_network_is_foreseen() -> None:
    rng = np.random.default_rng(0)
    sizes = np.repeat(np.geomspace(1e6, 5e7, 7), 2)

    def loss_of(size: np.ndarray | float) -> np.ndarray:
        return np.asarray(0.2 + 0.8 * (size / 1e6) ** -0.35)

    loss = loss_of(sizes) * np.exp(rng.normal(0, 0.01, sizes.size))
    accuracy = 0.95 * expit((0.5 - loss) / 0.1) + rng.normal(0, 0.01, sizes.size)
    table = {
        "configuration": np.repeat(np.arange(7), 2),
        "seed": np.tile([0, 1], 7),
        "params": sizes,
        "loss": loss,
        "accuracy": np.clip(accuracy, 0, 1),
    }
    losses, accuracies = LossRuns.of(table), AccuracyRuns.of(table, "loss", accuracy="accuracy")
    found = fit_two_step(losses, accuracies, predict=[{"params": 2e8}], replicates=16)
    assert found.loss.parameter("alpha").value == pytest.approx(0.35, abs=0.05)
    assert found.accuracy.parameter("midpoint").value == pytest.approx(0.5, abs=0.03)
    (prediction,) = found.predictions
    assert prediction.law is not None
    assert prediction.law.contains(float(0.95 * expit((0.5 - loss_of(2e8)) / 0.1)))
    assert found.extrapolation is not None
    assert found.extrapolation.absolute_error < 0.05
    with pytest.raises(UserError, match="must be the rows"):
        fit_two_step(losses, accuracies.take(np.arange(13)))
