"""Many studies whose truth is known: what a law claims, and how often it is right."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.analysis.planted import WRONG, covers, power_study, tally
from trm_scaling.analysis import LossLaw, loss_parameters


@pytest.mark.parametrize("truth", WRONG, ids=lambda truth: truth.__name__)
def test_what_is_no_power_law_is_not_identified_as_one(truth: Callable[[np.ndarray], np.ndarray]) -> None:
    found = tally(truth, 2)
    assert found.identified == 0
    assert found.covered_or_disagree == 1


@pytest.mark.slow
@pytest.mark.parametrize("truth", WRONG, ids=lambda truth: truth.__name__)
def test_of_200_studies_of_another_truth(
    truth: Callable[[np.ndarray], np.ndarray], record_property: Callable[[str, object], None]
) -> None:
    found = tally(truth, 200)
    record_property("tally", found)
    assert found.identified <= 0.05
    assert found.covered_or_disagree >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("floor", [0.0, 0.02])
def test_every_parameter_is_covered_in_200_studies(
    floor: float, record_property: Callable[[str, object], None]
) -> None:
    rng, rows = np.random.default_rng(0), []
    for seed in range(200):
        runs, truth = power_study(floor, rng)
        parameters = loss_parameters(runs, LossLaw(floor=floor > 0), replicates=200, seed=seed)
        rows.append(covers(parameters, truth))
    covered = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    record_property("covered", covered)  # --junitxml keeps the figures
    assert all(0.90 <= share <= 0.99 for share in covered.values()), covered


@pytest.mark.parametrize("floor", [0.0, 0.02])
def test_the_planted_exponents_come_back(floor: float) -> None:
    runs, truth = power_study(floor, np.random.default_rng(1))
    found = loss_parameters(runs, LossLaw(floor=floor > 0))
    assert covers(found, truth) == dict.fromkeys(truth, True)
