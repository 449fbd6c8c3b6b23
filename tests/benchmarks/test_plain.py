"""The baseline of the benchmark computes what our step computes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.plain import plain_begin, plain_gradients, plain_state, plain_step
from benchmarks.step import case_config, ways
from tests.train.tiny import IDS, VOCAB, B, C, config_of, feed_of, hyper_of, state_of
from trm_scaling.model import begin
from trm_scaling.train.step import Batch, batch_gradients, train_step

CONFIG = config_of(arch={"L_layers": 2, "L_cycles": 2})


def batch_of() -> Batch:
    feed = feed_of(1)
    return Batch(feed.inputs[0], feed.labels[0], feed.puzzle_ids[0])


def test_the_plain_gradients_are_ours() -> None:
    assert (VOCAB, IDS, B, C) == (6, 2, 8, 16)
    state, batch = state_of(CONFIG), batch_of()
    ours, answer = batch_gradients(
        CONFIG, state.params, begin(state.carry, state.buffers, *batch), jnp.float32(1)
    )
    plain = plain_state(state)
    theirs, (loss, z_H, _, _) = plain_gradients(
        CONFIG, plain.params, plain_begin(plain.carry, plain.buffers, batch)
    )
    np.testing.assert_allclose(answer.losses.total / B, loss, rtol=1e-5)
    np.testing.assert_allclose(answer.z_H, jnp.swapaxes(z_H, 0, 1), rtol=1e-3, atol=1e-4)
    for (path, mine), other in zip(
        jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True
    ):
        scale = max(float(np.abs(other).max()), 1e-8)
        np.testing.assert_allclose(mine / scale, other / scale, atol=2e-4, err_msg=jax.tree_util.keystr(path))


def test_a_plain_step_moves_the_parameters_as_ours_does() -> None:
    state, batch, hyper = state_of(CONFIG), batch_of(), hyper_of(CONFIG)
    mine, metrics = train_step(CONFIG, state, hyper, batch)
    other, loss = plain_step(CONFIG, plain_state(state), hyper, batch)
    np.testing.assert_allclose(metrics["train/loss"], loss, rtol=1e-5)
    assert dataclasses.asdict(other).keys() == dataclasses.asdict(mine).keys()
    # The first step of AdamATan2 moves every parameter by the sign of its gradient, so look at the moments.
    for ours, theirs in zip(
        jax.tree.leaves(mine.optimizer.m), jax.tree.leaves(other.optimizer.m), strict=True
    ):
        scale = max(float(np.abs(theirs).max()), 1e-8)
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=2e-4)


def test_a_case_is_the_published_recursion_in_float32() -> None:
    config = case_config(32, 4, 2)
    arch = config.arch
    assert (arch.H_cycles, arch.L_cycles, arch.L_layers, arch.forward_dtype) == (3, 6, 2, "float32")
    assert arch.prefix_len + config.data.seq_len == 97
    assert (config.micro_batches, config.system.steps_per_call) == (2, 1)


def test_both_ways_take_steps() -> None:
    config = config_of(system={"steps_per_call": 1})
    for way in ways(config):
        before = int(way.state.step)
        assert way.once() > 0
        assert int(way.state.step) == before + 1 == 2
