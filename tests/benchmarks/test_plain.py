"""The baseline of the benchmark computes what our step computes."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.plain import plain_state, plain_step
from benchmarks.step import case_config, ways
from tests.train.tiny import IDS, VOCAB, B, C, config_of, feed_of, hyper_of, state_of
from trm_scaling.tasks.task import spec_of
from trm_scaling.train.step import Batch, train_step

CONFIG = config_of(arch={"L_layers": 2, "L_cycles": 2})


def batch_of() -> Batch:
    feed = feed_of(1)
    return Batch(feed.inputs[0], feed.labels[0], feed.puzzle_ids[0])


def test_a_plain_step_moves_the_parameters_as_ours_does() -> None:
    assert (VOCAB, IDS, B, C) == (6, 2, 8, 16)
    state, batch, hyper = state_of(CONFIG), batch_of(), hyper_of(CONFIG)
    mine, metrics = jax.jit(partial(train_step, CONFIG))(state, hyper, batch)
    other, loss = jax.jit(partial(plain_step, CONFIG))(plain_state(state), hyper, batch)
    np.testing.assert_allclose(metrics["train/loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(
        mine.carry.state["z_H"], jnp.swapaxes(other.carry.state["z_H"], 0, 1), rtol=1e-3, atol=1e-4
    )
    assert dataclasses.asdict(other).keys() == dataclasses.asdict(mine).keys()
    # After one step a moment is its gradient, scaled; AdamATan2 moves parameters by its sign alone.
    moments = jax.tree_util.tree_leaves_with_path(mine.optimizer.m)
    for (path, ours), theirs in zip(moments, jax.tree.leaves(other.optimizer.m), strict=True):
        scale = max(float(np.abs(theirs).max()), 1e-8)
        np.testing.assert_allclose(
            ours / scale, theirs / scale, atol=2e-4, err_msg=jax.tree_util.keystr(path)
        )


def test_a_case_is_the_published_recursion_in_float32() -> None:
    config = case_config(32, 4, 2)
    arch = config.arch
    assert (arch.depth, arch.L_layers, arch.forward_dtype) == ((6, 3), 2, "float32")
    assert arch.prefix_len + spec_of(config.data).seq_len == 97
    assert (config.micro_batches, config.system.steps_per_call) == (2, 1)


@pytest.mark.slow
def test_both_ways_take_steps() -> None:
    config = config_of(system={"steps_per_call": 1})
    for way in ways(config):
        before = int(way.state.step)
        assert way.once() > 0
        assert int(way.state.step) == before + 1 == 2
