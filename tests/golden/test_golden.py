"""The model and the public code, call by call from the golden carry before it: chaos forbids chaining."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden.golden import NAMES, Golden, assert_close
from trm_scaling.models import Execution, reset_halted
from trm_scaling.models.act import halt
from trm_scaling.models.interchange import to_public
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.models.model import STATES, puzzle_rows, step
from trm_scaling.train.step import batch_gradients

CALLS = range(4)


@pytest.fixture(scope="module", params=NAMES)
def golden(request):
    return Golden.load(request.param)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_the_public_code_is_reproduced(golden, call):
    params, buffers = golden.weights()
    carry = reset_halted(golden.carry_before(call), buffers, *golden.batch(call))
    rows = puzzle_rows(params, carry.puzzle_ids)
    out = step(golden.config.arch, params, carry.state, carry.inputs, rows)
    steps = carry.steps + 1
    halted = halt(jax.random.key(0), steps, out.q_halt, 0.0, golden.config.arch.halt_max_steps)
    after = golden.carry_after(call)

    np.testing.assert_array_equal(steps, after.steps)
    np.testing.assert_array_equal(halted, after.halted)
    for name in ("inputs", "labels", "puzzle_ids"):
        np.testing.assert_array_equal(getattr(carry, name), getattr(after, name))

    expected = golden.group(f"call{call}/out")
    for ours, name in [
        (out.logits, "logits"),
        (out.q_halt, "q_halt_logits"),
        (out.q_continue, "q_continue_logits"),
    ]:
        assert_close(ours, expected[name], golden.tolerance, name)
    for name in STATES:
        assert_close(out.state[name], np.asarray(after.state[name]), golden.tolerance, name)


@pytest.mark.parametrize("name", [name for name in NAMES if "attention" in name])
def test_the_library_s_attention_reproduces_it_too(name):
    golden = Golden.load(name)
    params, buffers = golden.weights()
    carry = reset_halted(golden.carry_before(1), buffers, *golden.batch(1))
    rows = puzzle_rows(params, carry.puzzle_ids)
    # As a program for a TPU has it; this one runs here.
    how = Execution(unroll=False, platform="tpu")
    out = step(golden.config.arch, params, carry.state, carry.inputs, rows, how)
    assert_close(out.logits, golden.arrays["call1/out/logits"], golden.tolerance, "logits")


@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize("call", CALLS)
def test_loss_and_gradients_are_the_public_codes(golden, call, micro_batches):
    system = golden.config.system.model_copy(
        update={"micro_batch_size": golden.config.global_batch_size // micro_batches}
    )
    config = golden.config.model_copy(update={"system": system})
    params, buffers = golden.weights()
    carry = reset_halted(golden.carry_before(call), buffers, *golden.batch(call))
    grads, answer = jax.jit(batch_gradients, static_argnums=0)(config, params, carry, jnp.float32(1))

    losses = answer.losses
    for ours, name in [
        (losses.total, "loss"),
        (jnp.sum(losses.cells), "metrics/lm_loss"),
        (jnp.sum(losses.halting), "metrics/q_halt_loss"),
    ]:
        assert_close(ours, golden.arrays[f"call{call}/{name}"], golden.tolerance, name)
    np.testing.assert_array_equal(answer.state["z_H"].shape, carry.state["z_H"].shape)
    if call not in (0, 3):
        return

    expected = golden.group(f"call{call}/grad")
    rows = expected.pop("puzzle_emb_rows")
    ours = to_public(config.arch, grads, buffers)  # the rows of the batch stand in the table's place
    for name, gradient in expected.items():
        assert_close(ours[name], gradient, golden.tolerance, name)
    # The public code too keeps a gradient for each row.
    assert_close(grads[PUZZLE_EMB], rows, golden.tolerance, "puzzle embeddings")


def test_interchange_round_trips_exactly(golden):
    params, buffers = golden.weights()
    again = to_public(golden.config.arch, params, buffers)
    assert again.keys() == golden.state_dict.keys()
    for name, array in golden.state_dict.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


@pytest.mark.parametrize(
    "change",
    [
        {"unroll": False, "remat": True},
        pytest.param({"unroll": False}, marks=pytest.mark.slow),
        pytest.param({"remat": True}, marks=pytest.mark.slow),
    ],
)
def test_unrolling_and_rematerialisation_do_not_change_the_function(change):
    golden = Golden.load("trm_mlp_t")
    params, buffers = golden.weights()
    carry = reset_halted(golden.carry_before(1), buffers, *golden.batch(1))
    system = golden.config.system.model_copy(update=change)
    gradients = jax.jit(batch_gradients, static_argnums=0)
    plain, _ = gradients(golden.config, params, carry, jnp.float32(1))
    other, _ = gradients(
        dataclasses.replace(golden).config.model_copy(update={"system": system}),
        params,
        carry,
        jnp.float32(1),
    )
    jax.tree.map(lambda a, b: assert_close(a, np.asarray(b), 5e-4, "gradient"), other, plain)
