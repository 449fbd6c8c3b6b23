"""What an average means whatever the batch, and several averages of one trajectory."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.tiny import config_of, feed_of, hyper_of, state_of
from trm_scaling.config import RunConfig
from trm_scaling.optim import TracedHparams
from trm_scaling.train.multi_step import make_train_call
from trm_scaling.train.state import TrainState, state_digest, trajectory_digest

STEPS = 5


def trained(config: RunConfig) -> TrainState:
    call = make_train_call(config, 0)
    return call(state_of(config), hyper_of(config), feed_of(STEPS), jnp.int32(STEPS))[0]


def test_a_step_of_a_larger_batch_keeps_less_of_a_matched_average() -> None:
    matched = partial(config_of, global_batch_size=8, reference_batch_size=2, ema_rate=0.9, ema_rates=[0.5])
    hyper = hyper_of(matched())
    assert float(hyper.ema_rate) == pytest.approx(0.9**4)
    assert [float(rate) for rate in hyper.ema_rates] == pytest.approx([0.5**4])
    written = hyper_of(matched(schedule="as_written"))
    assert float(written.ema_rate) == pytest.approx(0.9)
    assert [float(rate) for rate in written.ema_rates] == pytest.approx([0.5])
    # Exactly, so that what is recorded of runs at the reference batch stays what it was.
    assert RunConfig(ema_rate=0.9987).per_step(0.9987) == 0.9987


@pytest.mark.parametrize("batch", [1536, 6144, 49152])
def test_matched_averages_end_with_as_little_of_the_initial_weights_whatever_the_batch(batch: int) -> None:
    config = RunConfig(global_batch_size=batch)
    steps = 50_000 * 1000 / batch
    assert config.per_step(0.999) ** steps == pytest.approx(0.999**8138, rel=1e-3)
    # Rates a step would leave 36 % of them in exp06_f.
    written = RunConfig(global_batch_size=49152, schedule="as_written").per_step(0.999)
    assert written ** (50_000 * 1000 / 49152) == pytest.approx(0.36, abs=0.01)


def test_further_averages_are_those_that_runs_by_themselves_would_keep_and_change_nothing_else() -> None:
    both = trained(config_of(ema_rate=0.9, ema_rates=[0.5, 0.0], schedule="as_written"))
    alone = {rate: trained(config_of(ema_rate=rate, schedule="as_written")) for rate in (0.9, 0.5)}
    assert state_digest(both) != state_digest(alone[0.9])
    assert trajectory_digest(both) == trajectory_digest(alone[0.9]) == trajectory_digest(alone[0.5])
    jax.tree.map(np.testing.assert_array_equal, both.ema, alone[0.9].ema)
    jax.tree.map(np.testing.assert_array_equal, both.emas[0], alone[0.5].ema)
    # A rate of zero keeps nothing: the current weights.
    current = {name: both.params[name] for name in both.emas[1]}
    jax.tree.map(np.testing.assert_array_equal, both.emas[1], current)


def test_an_overflow_leaves_every_average_as_it_was() -> None:
    config = config_of(ema_rate=0.9, ema_rates=[0.5], arch={"forward_dtype": "float16"})
    state = state_of(config)
    broken = jax.tree.map(lambda leaf: leaf + jnp.inf, state.params)
    hyper: TracedHparams = hyper_of(config)
    after = make_train_call(config, 0)(
        replace(jax.tree.map(jnp.copy, state), params=broken), hyper, feed_of(1), jnp.int32(1)
    )[0]
    jax.tree.map(np.testing.assert_array_equal, after.emas, state.emas)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ema": False, "ema_rates": [0.5]}, "ema=false"),
        ({"ema_rates": [0.5, 0.5]}, "twice"),
        ({"ema_rate": 0.5, "ema_rates": [0.5]}, "twice"),
        ({"ema_rates": [1.0]}, "ema_rates"),
    ],
)
def test_impossible_averages_are_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        config_of(**changes)
