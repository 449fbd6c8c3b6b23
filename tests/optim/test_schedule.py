"""The learning rate over a run, against the public code's rule (`cosine_schedule_with_warmup_lr_lambda`)."""

from math import cos, pi

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.config import RunConfig, Schedule, TrmConfig
from trm_scaling.optim import TracedHparams, exploration_probability, learning_rate_factor


def public_factor(step: int, warmup: int, total: int, least: float) -> float:
    """Linear from step / warmup, then half a cosine down to `least`; steps count from 1."""
    if step < warmup:
        return step / max(1, warmup)
    progress = (step - warmup) / max(1, total - warmup)
    return least + max(0.0, (1 - least) * 0.5 * (1 + cos(pi * progress)))


def factors(warmup: int, total: int, least: float) -> np.ndarray:
    hyper = TracedHparams.of(RunConfig(lr_min_ratio=least), Schedule(total, total, warmup, ()))
    return np.asarray(jax.vmap(lambda step: learning_rate_factor(step, hyper))(jnp.arange(1, total + 1)))


@pytest.mark.parametrize("least", [1.0, 0.1, 0.01, 0.0])
@pytest.mark.parametrize(("warmup", "total"), [(0, 40), (1, 40), (10, 40), (40, 40), (60, 40), (2000, 8138)])
def test_every_step_is_the_public_codes(warmup: int, total: int, least: float) -> None:
    expected = [public_factor(step, warmup, total, least) for step in range(1, total + 1)]
    np.testing.assert_allclose(factors(warmup, total, least), expected, atol=1e-6)


def test_warm_up_begins_above_zero_and_ends_at_one() -> None:
    found = factors(warmup=10, total=40, least=1.0)
    np.testing.assert_allclose(found[:10], np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_array_equal(found[9:], 1)


@pytest.mark.parametrize("least", [0.1, 0.01, 0.0])
def test_the_cosine_ends_at_the_least_ratio(least: float) -> None:
    found = factors(warmup=10, total=100, least=least)
    assert found[-1] == pytest.approx(least, abs=1e-6)
    assert (np.diff(found[9:]) < 0).all()
    assert found[54] == pytest.approx((1 + least) / 2, abs=1e-6), "half way is the mean"


@pytest.mark.parametrize(("start", "end"), [(0.3, 0.05), (0.1, None), (0.0, 1.0)])
def test_exploration_goes_in_a_straight_line_from_the_first_step_to_the_last(
    start: float, end: float | None
) -> None:
    arch = TrmConfig(halt_exploration_prob=start, halt_exploration_prob_end=end)
    hyper = TracedHparams.of(RunConfig(arch=arch), Schedule(101, 101, 0, ()))
    found = jax.vmap(lambda step: exploration_probability(step, hyper))(jnp.arange(1, 102))
    np.testing.assert_allclose(found, np.linspace(start, start if end is None else end, 101), atol=1e-6)
