"""The training step and the call of several: same bits, same gradients, every optimiser and precision."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.tiny import B, C, config_of, feed_of, hyper_of, puzzles, state_of
from trm_scaling.config import RunConfig
from trm_scaling.models import reset_halted
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.train import multi_step as call_module
from trm_scaling.train.input_pipeline import Feed
from trm_scaling.train.multi_step import CallMetrics, make_train_call
from trm_scaling.train.state import TrainState, network_of, state_digest
from trm_scaling.train.step import Batch, batch_gradients, train_step

K = 5
BASE = config_of()


def run(config: RunConfig, counts: list[int]) -> tuple[TrainState, list[CallMetrics]]:
    """Calls of `counts` steps one after another on one stream of batches."""
    state = state_of(config)
    call, stream, done, log = make_train_call(config, augmentation_seed=0), feed_of(sum(counts) + K), 0, []
    for count in counts:
        feed = Feed(*(leaf[done : done + K] for leaf in stream))
        state, metrics = call(state, hyper_of(config), feed, jnp.int32(count))
        log.append(metrics)
        done += count
    return state, log


def bits(state: TrainState) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


@pytest.fixture(scope="module")
def five() -> tuple[TrainState, CallMetrics]:
    """The base run after one call of five steps."""
    state, (metrics,) = run(BASE, [5])
    return state, metrics


def test_five_steps_in_one_call_are_five_calls_of_one(five: tuple[TrainState, CallMetrics]) -> None:
    state, log = run(BASE, [1, 1, 1, 1, 1])
    assert bits(state) == bits(five[0])
    for name, values in five[1].items():
        np.testing.assert_array_equal([metrics[name][0] for metrics in log], values)


def test_a_call_leaves_the_steps_it_did_not_take_missing() -> None:
    state, (metrics,) = run(BASE, [2])
    assert int(state.step) == 2
    for name, values in metrics.items():
        assert values.shape == ((K, 3) if name.endswith("_histogram") else (K,))
        assert np.isnan(values[2:]).all(), name
    assert np.isfinite(metrics["train/loss"][:2]).all()


def test_the_same_seed_gives_the_same_bits_and_another_does_not(five: tuple[TrainState, CallMetrics]) -> None:
    again, _ = run(BASE, [5])
    other, _ = run(config_of(seed=1), [5])
    assert bits(again) == bits(five[0])
    assert state_digest(again) == state_digest(five[0])
    assert state_digest(other) != state_digest(five[0])


def test_calls_of_any_count_share_one_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[int] = []

    def counted(*arguments: Any) -> Any:
        traced.append(len(traced))
        return train_step(*arguments)

    monkeypatch.setattr(call_module, "train_step", counted)
    call, state, feed = make_train_call(BASE, augmentation_seed=0), state_of(BASE), feed_of(K)
    after_one = None
    for count in (5, 1, 3):
        state, _ = call(state, hyper_of(BASE), feed, jnp.int32(count))
        after_one = after_one or len(traced)
        assert len(traced) == after_one
    assert int(state.step) == 9


def test_training_lowers_the_loss() -> None:
    call, state, feed, losses = make_train_call(BASE, augmentation_seed=0), state_of(BASE), feed_of(K), []
    feed = feed._replace(augmentation=jnp.zeros_like(feed.augmentation))
    for _ in range(12):
        state, metrics = call(state, hyper_of(BASE), feed, jnp.int32(K))
        losses.append(float(metrics["train/cell_loss"].mean()))
    assert losses[-1] < 0.8 * losses[0]


# Each compiles a program of its own for seconds, so several features share one.
@pytest.mark.parametrize(
    "changes",
    [
        {"arch": {"forward_dtype": "bfloat16"}, "ema": False},
        {"arch": {"forward_dtype": "float16"}, "ema_puzzle_emb": True},
        {"arch": {"mlp_t": False, "pos_encodings": "rope"}, "optimizer": "lion"},
        pytest.param(
            {"arch": {"loss": "softmax_cross_entropy"}, "optimizer": "adamw"}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"arch": {"puzzle_emb_ndim": 0}, "optimizer": "adam", "weight_decay": 0}, marks=pytest.mark.slow
        ),
        {"system": {"micro_batch_size": 2, "remat": True, "unroll": False}},
    ],
    ids=lambda changes: "-".join(str(value) for value in changes.values()),
)
def test_every_kind_of_run_trains(changes: dict[str, Any]) -> None:
    config = config_of(**changes)
    start = state_of(config)
    state, (metrics,) = run(config, [5])
    assert int(state.step) == 5
    for name, values in metrics.items():
        assert values.dtype == jnp.float32
        if not name.startswith("train/finished_"):
            assert np.isfinite(values).all(), name
        assert not np.isinf(values).any(), name
    before, after = network_of(start.params), network_of(state.params)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert new.dtype == jnp.float32
        assert np.isfinite(new).all()
        assert (new != old).any()
    jax.tree.map(lambda old, new: None, start, state)  # raises where the structures differ


def test_the_metrics_are_what_they_are_called(five: tuple[TrainState, CallMetrics]) -> None:
    _, metrics = five
    np.testing.assert_allclose(metrics["train/lr"], [0.005, 0.01, 0.01, 0.01, 0.01], rtol=1e-6)
    total = metrics["train/cell_loss"] + 0.5 * metrics["train/halt_loss"]
    np.testing.assert_allclose(metrics["train/loss"], total, rtol=1e-5)
    np.testing.assert_allclose(metrics["train/halt_exploration_prob"], 0.5)
    # Nobody halts by wish (the bias is -5), so every row does at its third step.
    np.testing.assert_array_equal(metrics["train/finished_rate"], [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(metrics["train/finished_steps"], [np.nan, np.nan, 3, np.nan, np.nan])
    assert (metrics["train/grad_norm"] > 0).all()


def test_slots_go_on_with_their_puzzles_across_steps_and_calls() -> None:
    state, _ = run(BASE, [2])
    offered = feed_of(2 + K)
    first = np.asarray(offered.puzzle_ids[0])
    np.testing.assert_array_equal(state.carry.puzzle_ids, first)
    np.testing.assert_array_equal(state.carry.steps, [2] * B)
    state, _ = run(BASE, [2, 1])
    np.testing.assert_array_equal(state.carry.puzzle_ids, first)
    assert state.carry.halted.all()
    # The stream's fourth batch is taken by the fourth step, since all rows have halted.
    state, _ = run(BASE, [2, 1, 1])
    np.testing.assert_array_equal(state.carry.puzzle_ids, np.asarray(feed_of(4 + K).puzzle_ids[3]))


def carry_of(config: RunConfig) -> Any:
    """A full carry with one padding row, so that rows differ in every way."""
    state = state_of(config)
    inputs, labels = puzzles(B)
    labels[3] = 0
    ids = jnp.asarray([0, 1] * (B // 2), jnp.int32)
    return state, reset_halted(state.carry, state.buffers, jnp.asarray(inputs), jnp.asarray(labels), ids)


@pytest.mark.parametrize("parts", [2, B])
def test_micro_batches_add_up_to_the_same_gradients(parts: int) -> None:
    gradients = jax.jit(batch_gradients, static_argnums=0)
    state, carry = carry_of(BASE)
    whole, answer = gradients(BASE, state.params, carry, jnp.float32(1))
    sliced, answers = gradients(
        config_of(system={"micro_batch_size": B // parts}), state.params, carry, jnp.float32(1)
    )
    for one, other in zip(jax.tree.leaves(sliced), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(np.asarray(other)).max() + 1e-9)
    assert np.abs(np.asarray(whole[PUZZLE_EMB])).max() > 0
    # And the answers stand in the order of the rows.
    assert answers.state["z_H"].shape == (1 + C, B, 16)
    for one, other in zip(jax.tree.leaves(answers), jax.tree.leaves(answer), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_gradients_are_those_of_the_mean_loss_and_the_scale_cancels() -> None:
    gradients = jax.jit(batch_gradients, static_argnums=0)
    state, carry = carry_of(BASE)
    plain, answer = gradients(BASE, state.params, carry, jnp.float32(1))
    scaled, _ = gradients(BASE, state.params, carry, jnp.float32(2**12))
    for one, other in zip(jax.tree.leaves(scaled), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)
    # With the head's weight at zero, all of its bias' gradient is 0.5 (sigmoid(-5) - solved) a puzzle.
    expected = 0.5 * (7 / (1 + np.exp(5)) - np.asarray(answer.losses.solved).sum()) / B
    np.testing.assert_allclose(plain["q_head"]["bias"], [expected, 0], rtol=1e-4)


def batch_of(count: int = 0) -> Batch:
    feed = feed_of(1, seed=count)
    return Batch(feed.inputs[0], feed.labels[0], feed.puzzle_ids[0])


FLOAT16 = config_of(arch={"forward_dtype": "float16"}, ema_puzzle_emb=True)


def test_a_float16_step_that_overflows_changes_no_parameter() -> None:
    config = FLOAT16
    step = jax.jit(train_step, static_argnums=0)
    state = state_of(config)
    assert state.loss_scale is not None
    too_large = dataclasses.replace(state.loss_scale, scale=jnp.float32(1e30))
    before = dataclasses.replace(state, loss_scale=too_large)
    after, _ = step(config, before, hyper_of(config), batch_of())
    for name in ("params", "ema", "optimizer"):
        for old, new in zip(
            jax.tree.leaves(getattr(before, name)), jax.tree.leaves(getattr(after, name)), strict=True
        ):
            np.testing.assert_array_equal(old, new)
    assert after.loss_scale is not None
    assert float(after.loss_scale.scale) <= 1e30 / 2
    assert int(after.step) == 1, "the schedule goes on, as do the rows"
    np.testing.assert_array_equal(after.carry.steps, [1] * B)
    assert np.isfinite(np.asarray(after.carry.state["z_H"], np.float32)).all()


def test_a_float16_step_that_does_not_overflow_trains_as_float32_does() -> None:
    step = jax.jit(train_step, static_argnums=0)
    half, _ = step(FLOAT16, state_of(FLOAT16), hyper_of(FLOAT16), batch_of())
    full, _ = step(BASE, state_of(BASE), hyper_of(BASE), batch_of())
    start = state_of(BASE).params["lm_head"]
    moved, expected = half.params["lm_head"] - start, full.params["lm_head"] - start
    assert half.loss_scale is not None
    assert int(half.loss_scale.finite_steps) == 1
    assert np.corrcoef(np.ravel(moved), np.ravel(expected))[0, 1] > 0.99


def test_only_float16_scales_its_loss() -> None:
    for dtype in ("float32", "bfloat16"):
        assert state_of(config_of(arch={"forward_dtype": dtype})).loss_scale is None


def test_the_average_follows_the_network_and_the_embeddings_where_told() -> None:
    step = jax.jit(train_step, static_argnums=0)
    for with_embeddings in (False, True):
        config = config_of(schedule="as_written", ema_puzzle_emb=with_embeddings)
        start = state_of(config)
        after, _ = step(config, start, hyper_of(config), batch_of())
        assert start.ema is not None
        assert after.ema is not None
        assert (PUZZLE_EMB in after.ema) == config.ema_puzzle_emb
        for name, ema in after.ema.items():
            jax.tree.map(
                lambda ema, old, new: np.testing.assert_allclose(ema, 0.999 * old + 0.001 * new, atol=1e-6),
                *(ema, start.ema[name], after.params[name]),
            )
    assert state_of(config_of(ema=False)).ema is None


def test_only_the_embeddings_in_the_batch_move() -> None:
    step = jax.jit(train_step, static_argnums=0)
    batch = batch_of()._replace(puzzle_ids=jnp.zeros(B, jnp.int32))
    start = state_of(BASE)
    rows = jnp.full_like(start.params[PUZZLE_EMB], 2.0)  # decay would show on them
    start = dataclasses.replace(start, params={**start.params, PUZZLE_EMB: rows})
    after, _ = step(BASE, start, hyper_of(BASE), batch)
    table = np.asarray(after.params[PUZZLE_EMB])
    lr = 0.005  # half of puzzle_emb_lr: warm-up
    np.testing.assert_allclose(np.abs(table[0] - 2 * (1 - lr)), lr, rtol=1e-3)
    np.testing.assert_array_equal(table[1], rows[1])


def test_who_explores_is_drawn_anew_at_every_step() -> None:
    step = jax.jit(train_step, static_argnums=0)
    start = state_of(BASE)
    wishing = {**start.params["q_head"], "bias": jnp.full(2, 5.0)}  # half of the rows are held back
    start = dataclasses.replace(start, params={**start.params, "q_head": wishing})

    def halted_at(number: int) -> bytes:
        before = dataclasses.replace(start, step=jnp.int32(number))
        return np.asarray(step(BASE, before, hyper_of(BASE), batch_of())[0].carry.halted).tobytes()

    drawn = [halted_at(number) for number in range(10)]
    assert len(set(drawn)) > 5
    assert drawn == [halted_at(number) for number in range(10)], "and again the same in a resumed run"
