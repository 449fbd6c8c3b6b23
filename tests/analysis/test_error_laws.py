"""Laws of a share of errors: no floor, an onset, compute alone, several points of one run."""

from dataclasses import fields

import numpy as np
import pytest

from tests.analysis.planted import power_study
from tests.analysis.studies import SIX_SIZES, loss_runs
from trm_scaling.analysis import LossLaw, LossRuns, OnsetLaw, fit_loss
from trm_scaling.analysis.fits.loss_evidence import CARRIED
from trm_scaling.analysis.fits.loss_law import Inputs, carried_over, loss_at
from trm_scaling.analysis.fits.loss_search import search_loss
from trm_scaling.errors import UserError

SIZES, DATA = (each.ravel() for each in np.meshgrid([1e4, 2e4, 4e4, 8e4], [1e4, 2e4, 4e4, 8e4, 1.6e5]))


def test_points_of_one_model_stay_points_and_are_resampled_together() -> None:
    """One configuration with many token counts: neither averaged nor taken for seeds."""
    loss = 0.3 * (DATA / 1e4) ** -0.4 + 0.2 * (SIZES / 1e4) ** -0.5
    table = {"configuration": SIZES, "loss": loss, "params": SIZES, "data": DATA}
    runs = LossRuns.of(table, data="data", seed=None)
    assert len(runs.cells.names) == 20
    assert sorted(runs.collapsed().loss) == pytest.approx(sorted(loss))
    assert len(runs.units.names) == 4
    found = search_loss(LossLaw(floor=False), Inputs.of(LossLaw(floor=False), runs))
    assert found.parameters["alpha"] == pytest.approx(0.5, abs=1e-3)
    assert found.parameters["beta"] == pytest.approx(0.4, abs=1e-3)


def test_seeds_at_equal_inputs_are_averaged_and_nothing_else_is() -> None:
    table = {
        "configuration": ["a"] * 4,
        "seed": [0, 1, 0, 1],
        "loss": [1.0, 4.0, 0.5, 2.0],
        "params": [1e5] * 4,
        "data": [1e4, 1e4, 2e4, 2e4],
    }
    runs = LossRuns.of(table, data="data")
    assert runs.collapsed().loss == pytest.approx([2.0, 1.0])
    assert len(runs.units.names) == 2
    with pytest.raises(UserError, match="configuration a with seed 0"):
        LossRuns.of(table | {"data": [1e4] * 4}, data="data")


def test_no_floor_is_a_law_and_a_rival() -> None:
    runs, _ = power_study(0.0, np.random.default_rng(0))
    without, with_floor = (fit_loss(runs, LossLaw(floor=floor), replicates=30) for floor in (False, True))
    assert without.formula == "L = A N^-alpha + B D^-beta"
    assert (without.runs, without.configurations) == (18, 6)
    assert set(without.values) == {"A", "B", "alpha", "beta"}
    assert {"size + data", "compute, E = 0", "onset", CARRIED} <= {each.law for each in without.rivals}
    assert "size + data, E = 0" in {each.law for each in with_floor.rivals}
    assert "condition" not in with_floor.verdict.reason
    floor = with_floor.parameter("E").interval
    assert floor is not None
    assert floor.low == 0.0


@pytest.mark.parametrize("slope", [False, True])
def test_an_onset_comes_back(slope: bool) -> None:
    law = OnsetLaw(slope=slope)
    truth = {"A": 3.0, "H": 0.6, "tau": 4e8, "alpha": 0.45, "kappa": 0.9, "s": 2.5, "B": 6.0, "beta": 0.2}
    truth = {name: truth[name] for name in law.parameter_names}
    away = DATA / (truth["tau"] * SIZES ** -truth["kappa"])
    before = truth["B"] * DATA ** -truth["beta"] if slope else truth["H"]
    error = truth["A"] * SIZES ** -truth["alpha"] + before / (1 + away ** truth["s"])
    runs = loss_runs(error, np.random.default_rng(0), 0.0, params=SIZES, data=DATA)
    found = search_loss(law, Inputs.of(law, runs))
    assert found.parameters == pytest.approx(truth, rel=1e-2)
    theta = found.theta + 0.05
    _, jacobian = law.ln_loss(theta, found.inputs)
    for index in range(theta.size):
        step = np.zeros(theta.size)
        step[index] = 1e-6
        up, down = (law.ln_loss(theta + way * step, found.inputs)[0] for way in (1, -1))
        assert jacobian[:, index] == pytest.approx((up - down) / 2e-6, abs=1e-6)


def test_an_onset_has_no_recursion_to_set() -> None:
    assert [field.name for field in fields(OnsetLaw)] == ["slope"]


def test_the_next_smaller_size_is_the_baseline() -> None:
    loss = (SIZES / 1e4) ** -0.5 * (DATA / 1e4) ** -0.25
    runs = loss_runs(loss, np.random.default_rng(0), 0.0, params=SIZES, data=DATA)
    at = loss_runs(
        np.ones(3),
        np.random.default_rng(0),
        0.0,
        params=np.array([3e4, 8e4, 1e4]),
        data=np.array([2e4, 1e9, 1e4]),
    )
    found = carried_over(runs, at)
    assert found[0] == pytest.approx(2**-0.5 * 2**-0.25)
    assert found[1] == pytest.approx(4**-0.5 * 16**-0.25)
    assert np.isnan(found[2])


def test_hubers_delta_decides_what_an_outlier_is() -> None:
    """One point 30 % off: at 1e-3 it pulls as a sign, at 1 by its square."""
    loss = 0.8 * (SIX_SIZES / 1e6) ** -0.4
    rng = np.random.default_rng(0)
    runs = loss_runs(np.tile(loss, 3), rng, 0.003, params=np.tile(SIX_SIZES, 3))
    runs.loss[5] *= 1.3
    robust, square = (
        fit_loss(runs, LossLaw(data=False, floor=False), delta=delta, replicates=20) for delta in (1e-4, 1.0)
    )
    assert "delta 0.0001" in robust.likelihood
    assert abs(robust.values["alpha"] - 0.4) < 0.003
    assert abs(square.values["alpha"] - 0.4) > 3 * abs(robust.values["alpha"] - 0.4)
    expected = np.polyfit(np.log(runs.params), np.log(runs.loss), 1)[0]
    assert square.values["alpha"] == pytest.approx(-expected, rel=1e-4)
    with pytest.raises(UserError, match="delta is 0"):
        fit_loss(runs, delta=0.0)


def test_a_law_that_misses_the_means_says_so() -> None:
    """From 96 % wrong to none in one step, five seeds alike: no constant, and no power."""
    loss = np.repeat([0.96, 0.95, 0.96, 0.02, 0.96, 0.95], 5)
    runs = loss_runs(loss, np.random.default_rng(0), 0.01, params=np.repeat(SIX_SIZES, 5))
    runs = LossRuns.of(
        {"configuration": np.repeat(np.arange(6), 5), "loss": runs.loss, "params": runs.params}, seed=None
    )
    verdict = fit_loss(runs, replicates=30).verdict
    assert verdict.word == "not identified"
    assert "misses the means by more than seeds differ" in verdict.reason
    assert "constant explains" not in verdict.reason


def test_a_law_is_evaluated_at_its_reported_numbers() -> None:
    N, D = 1e5, np.array([1e4, 1e5])
    powers = {"A": 20.0, "B": 30.0, "alpha": 0.5, "beta": 0.6, "E": 0.01}
    np.testing.assert_allclose(loss_at(LossLaw(), powers, N, D), 0.01 + 20 * N**-0.5 + 30 * D**-0.6)
    onset = {"A": 20.0, "H": 0.2, "tau": 1e6, "alpha": 0.5, "kappa": 0.2, "s": 4.0}
    wanted = 20 * N**-0.5 + 0.2 / (1 + (D / (1e6 * N**-0.2)) ** 4)
    np.testing.assert_allclose(loss_at(OnsetLaw(), onset, N, D), wanted)
    onset = onset | {"B": 30.0, "beta": 0.6}
    wanted = 20 * N**-0.5 + 30 * D**-0.6 / (1 + (D / (1e6 * N**-0.2)) ** 4)
    np.testing.assert_allclose(loss_at(OnsetLaw(slope=True), onset, N, D), wanted)
    compute = LossLaw(compute=True, floor=False)
    np.testing.assert_allclose(loss_at(compute, {"A": 20.0, "alpha": 0.3}, N, D), 20 * (N * D) ** -0.3)
