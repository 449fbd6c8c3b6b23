"""Analysis of variance over a study that changes one thing at a time."""

import numpy as np
import pytest

from trm_scaling.analysis import factor_importance
from trm_scaling.errors import UserError


def test_one_factor_is_the_textbook() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(mean, 0.1, 5) for mean in (0.5, 0.6, 0.8)]
    found = factor_importance({"width": np.repeat(["s", "m", "l"], 5)}, np.concatenate(groups))
    (factor,) = found.factors
    assert (factor.freedom, found.freedom) == (2, 12)
    within, total = sum(5 * each.var() for each in groups), 15 * np.concatenate(groups).var()
    assert found.unexplained == pytest.approx(within / total)
    assert factor.share == pytest.approx((total - within - 2 * within / 12) / (total + within / 12))


def test_a_star_around_a_baseline() -> None:
    """Width matters, the optimiser hardly, and the seed's name not at all."""
    rng = np.random.default_rng(0)
    rows = [("512", "adam")] * 5 + [("256", "adam")] * 5 + [("1024", "adam")] * 5 + [("512", "lion")] * 5
    effect = {"512": 0.8, "256": 0.6, "1024": 0.85}
    accuracy = np.array([effect[w] - 0.01 * (o == "lion") for w, o in rows]) + rng.normal(0, 0.02, 20)
    factors = {
        "width": [w for w, _ in rows],
        "optimiser": [o for _, o in rows],
        "letter": rng.permutation(["x", "y"] * 10).tolist(),
        "dtype": ["bfloat16"] * 20,
    }
    found = factor_importance(factors, accuracy)
    assert found.factors[0].factor == "width"
    assert {each.factor for each in found.factors} == {"width", "optimiser", "letter"}
    assert found.factors[0].share > 0.8
    assert all(each.share < 0.01 for each in found.factors[1:])


def test_shares_allow_for_chance() -> None:
    """A factor without effect has no share on average; without the correction, its levels' part of chance."""
    rng = np.random.default_rng(0)
    letters = np.repeat(list("abcd"), 3)
    found = [factor_importance({"letter": letters}, rng.normal(0, 1, 12)).factors[0] for _ in range(300)]
    assert np.median([each.share for each in found]) == 0.0
    one = found[0]
    groups = 1 - factor_importance({"letter": letters}, np.arange(12.0)).unexplained
    assert groups == pytest.approx(135 / 143)
    omega = (135 - 3 * 1.0) / (143 + 1.0)
    assert factor_importance({"letter": letters}, np.arange(12.0)).factors[0].share == pytest.approx(omega)
    assert 0 <= one.share < 1


def test_factors_that_say_the_same_are_named() -> None:
    same = ["p", "p", "q", "q", "q"]
    found = factor_importance({"one": same, "other": same}, np.array([0.1, 0.2, 0.6, 0.7, 0.8]))
    assert set(found.inseparable) == {"one", "other"}
    assert found.factors == ()


def test_nothing_to_attribute_is_refused() -> None:
    with pytest.raises(UserError, match="no factor varies"):
        factor_importance({"width": [1, 1]}, np.array([0.1, 0.2]))
    with pytest.raises(UserError, match="run more seeds"):
        factor_importance({"width": [1, 2]}, np.array([0.1, 0.2]))
