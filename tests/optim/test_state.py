"""What an optimiser carries along: scalars from the configuration, the average, the loss scale."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trm_scaling.config import RunConfig, Schedule, TrmConfig
from trm_scaling.optim import LossScale, TracedHparams, update_ema
from trm_scaling.optim.update import GROW_AFTER, LARGEST_SCALE, all_finite

FINE, OVERFLOWED = jnp.bool_(True), jnp.bool_(False)


def test_hyper_holds_the_configurations_numbers() -> None:
    config = RunConfig(
        arch=TrmConfig(halt_exploration_prob=0.3), lr=0.5, beta2=0.25, ema_rate=0.125, ema_rates=(0.25,)
    )
    hyper = TracedHparams.of(config, Schedule(total_steps=99, eval_every=9, warmup_steps=7, stages=()))
    assert (float(hyper.lr), float(hyper.beta2), float(hyper.ema_rate)) == (0.5, 0.25, 0.125)
    assert (float(hyper.warmup_steps), float(hyper.total_steps)) == (7, 99)
    assert float(hyper.halt_exploration_prob) == np.float32(0.3)
    assert [float(rate) for rate in hyper.ema_rates] == [0.25]
    for value in jax.tree.leaves(hyper):
        assert (value.dtype, value.shape) == (jnp.float32, ())


def test_the_average_keeps_its_rate_and_its_structure() -> None:
    ema: dict[str, Any] = {"a": jnp.array([1.0, 2.0]), "b": [jnp.array(4.0)]}
    new: dict[str, Any] = {"a": jnp.array([3.0, 2.0]), "b": [jnp.array(0.0)]}
    once = update_ema(ema, new, jnp.float32(0.75))
    np.testing.assert_allclose(once["a"], [1.5, 2.0])
    np.testing.assert_allclose(once["b"][0], 3.0)
    for _ in range(100):
        once = update_ema(once, new, jnp.float32(0.75))
    np.testing.assert_allclose(once["a"], new["a"], atol=1e-6)


def after(scale: LossScale, finite: jax.Array, steps: int) -> LossScale:
    return jax.lax.fori_loop(0, steps, lambda _, scale: scale.adjusted(finite), scale)


def test_an_overflow_halves_the_scale_and_restarts_the_count() -> None:
    scale = after(LossScale.first(), FINE, 10)
    assert int(scale.finite_steps) == 10
    halved = scale.adjusted(OVERFLOWED)
    assert float(halved.scale) == float(scale.scale) / 2
    assert int(halved.finite_steps) == 0


def test_many_finite_steps_double_the_scale_once() -> None:
    first = LossScale.first()
    before = after(first, FINE, GROW_AFTER - 1)
    assert float(before.scale) == float(first.scale)
    doubled = before.adjusted(FINE)
    assert float(doubled.scale) == 2 * float(first.scale)
    assert int(doubled.finite_steps) == 0
    assert float(after(doubled, FINE, GROW_AFTER - 1).scale) == float(doubled.scale)


def test_the_scale_stays_within_its_limits() -> None:
    lowest = after(LossScale.first(), OVERFLOWED, 100)
    highest = after(LossScale(jnp.float32(LARGEST_SCALE / 2), jnp.int32(0)), FINE, 3 * GROW_AFTER)
    assert (float(lowest.scale), float(highest.scale)) == (1.0, LARGEST_SCALE)


def test_one_number_that_is_not_finite_is_found() -> None:
    tree = {"a": jnp.ones((3, 2)), "b": [jnp.zeros(4), jnp.float32(1)]}
    assert bool(all_finite(tree))
    for bad in (jnp.nan, jnp.inf, -jnp.inf):
        assert not bool(all_finite({**tree, "b": [jnp.zeros(4).at[2].set(bad), jnp.float32(1)]}))
