"""The model against the oracle, in drawn configurations; the oracle against the public code."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.golden.golden import NAMES, TOLERANCE, Golden, assert_close
from tests.oracle import trm
from tests.oracle.draws import Case, cases
from trm_scaling.config import RunConfig, TrmConfig
from trm_scaling.losses import Losses, softmax_cross_entropy, stablemax_cross_entropy, trm_losses
from trm_scaling.models import Carry, Execution, Output, reset_halted
from trm_scaling.models import step as model_step
from trm_scaling.models.interchange import public_names
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.models.model import puzzle_rows
from trm_scaling.train.step import batch_gradients

FEW = settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
CROSS_ENTROPY = {
    "stablemax_cross_entropy": stablemax_cross_entropy,
    "softmax_cross_entropy": softmax_cross_entropy,
}


def by_the_model(case: Case, dtype: str) -> tuple[Output, Losses]:
    arch, params, z_H, z_L = case.in_precision(dtype)

    @jax.jit
    def step(params: Any, z_H: Any, z_L: Any) -> tuple[Output, Losses]:
        inputs, puzzles = jnp.asarray(case.tokens), jnp.asarray(case.puzzles)
        how = Execution(unroll=case.unroll, remat=case.remat)
        states = {"z_H": z_H, "z_L": z_L}
        out = model_step(arch, params, states, inputs, puzzle_rows(params, puzzles), how)
        return out, trm_losses(out.logits, out.q_halt, jnp.asarray(case.labels), CROSS_ENTROPY[arch.loss])

    return step(params, z_H, z_L)


def by_the_oracle(case: Case) -> tuple[list[trm.Answer], list[trm.Loss]]:
    answers = [
        trm.supervision_step(case.arch, case.weights, *each)
        for each in zip(case.y, case.z, case.tokens, case.puzzles, strict=True)
    ]
    losses = [
        trm.loss_of(case.arch, answer, labels) for answer, labels in zip(answers, case.labels, strict=True)
    ]
    return answers, losses


def assert_equal_to_the_oracle(case: Case, dtype: str, tolerance: float) -> None:
    out, losses = by_the_model(case, dtype)
    assert {each.dtype.name for each in jax.tree.leaves(out)} == {dtype}
    answers, expected = by_the_oracle(case)
    compared: list[tuple[str, Any, Any]] = [
        ("z_H", np.swapaxes(out.state["z_H"], 0, 1), [each.y for each in answers]),
        ("z_L", np.swapaxes(out.state["z_L"], 0, 1), [each.z for each in answers]),
        ("logits", out.logits, [each.logits for each in answers]),
        ("q_halt", out.q_halt, [each.halt for each in answers]),
        ("q_continue", out.q_continue, [each.proceed for each in answers]),
        ("cell loss", losses.cells, [each.cells for each in expected]),
        ("halting loss", losses.halting, [each.halting for each in expected]),
        ("total loss", losses.total, sum(each.total for each in expected)),
        ("accuracy", losses.accuracy, [each.accuracy for each in expected]),
    ]
    for name, ours, theirs in compared:
        # Of the larger of the two: a logit that cancels to almost nothing has no digits of its own.
        scale = max(float(np.abs(theirs).max()), 1.0)
        worst = float(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs)).max())
        assert worst <= tolerance * scale, f"{name}: {worst / scale:.2e}"
    np.testing.assert_array_equal(losses.solved, [each.solved for each in expected])
    np.testing.assert_array_equal(losses.counted, [each.counted for each in expected])


def check_float64(case: Case) -> None:
    with jax.enable_x64(True):
        assert_equal_to_the_oracle(case, "float64", 1e-10)


def check_float32(case: Case) -> None:
    assert_equal_to_the_oracle(case, "float32", TOLERANCE["trm_mlp_t"])


def check_gradients(case: Case) -> None:
    """Each tensor's gradient along a random direction, by differences of the oracle's last cycle."""
    with jax.enable_x64(True):
        arch, params, z_H, z_L = case.in_precision("float64")
        batch = len(case.tokens)
        base = RunConfig(arch=case.arch, global_batch_size=batch)
        config = base.model_copy(update={"arch": arch})
        carry = Carry(
            {"z_H": z_H, "z_L": z_L},
            steps=jnp.zeros(batch, jnp.int32),
            halted=jnp.zeros(batch, jnp.bool_),
            inputs=jnp.asarray(case.tokens),
            labels=jnp.asarray(case.labels),
            puzzle_ids=jnp.asarray(case.puzzles),
        )
        grads, _ = jax.jit(batch_gradients, static_argnums=0)(config, params, carry, jnp.float64(1))
    starts = [
        trm.states_before_last_cycle(case.arch, case.weights, *each)
        for each in zip(case.y, case.z, case.tokens, case.puzzles, strict=True)
    ]

    def loss(weights: trm.Weights) -> float:
        answers = [
            trm.last_cycle(case.arch, weights, *start, tokens, puzzle)
            for start, tokens, puzzle in zip(starts, case.tokens, case.puzzles, strict=True)
        ]
        each = (trm.loss_of(case.arch, *pair) for pair in zip(answers, case.labels, strict=True))
        return sum(loss.total for loss in each) / batch

    random = np.random.default_rng(0)
    for name, path, transposed in public_names(case.arch):
        if path[0] == "buffers":
            continue
        ours: Any = grads
        for part in path[1:]:
            ours = ours[part]
        ours = np.asarray(ours).T if transposed else np.asarray(ours)
        if path[1:] == (PUZZLE_EMB,):
            # Of the rows that the batch read; the oracle has the whole table.
            rows, ours = ours, np.zeros(case.weights[name].shape)
            np.add.at(ours, case.puzzles, rows)
        direction = random.choice([-1.0, 1.0], ours.shape)
        scale = float(np.abs(ours).sum()) + 1e-3
        # Where the function bends sharply, as stablemax at 0, a difference over less is nearer.
        for width in (1e-5, 1e-6, 1e-7):
            ahead, behind = (
                loss({**case.weights, name: case.weights[name] + sign * width * direction})
                for sign in (1, -1)
            )
            miss = abs(float((ours * direction).sum()) - (ahead - behind) / (2 * width))
            if miss <= 2e-6 * scale:
                break
        else:
            pytest.fail(f"{name}: {miss} of {scale}")


@FEW
@given(cases())
def test_the_model_is_the_oracle_in_float64(case: Case) -> None:
    check_float64(case)


@FEW
@given(cases())
def test_the_model_is_the_oracle_in_float32(case: Case) -> None:
    check_float32(case)


@FEW
@given(cases())
def test_gradients_are_the_slopes_of_the_oracle(case: Case) -> None:
    check_gradients(case)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("check", [check_float64, check_float32, check_gradients])
def test_hundreds_of_configurations_are_the_oracle(check: Any) -> None:
    MANY(given(cases())(check))()


@pytest.mark.parametrize("name", NAMES)
def test_the_oracle_is_the_public_code(name: str) -> None:
    golden, call = Golden.load(name), 3
    arch = golden.config.arch
    _, buffers = golden.weights()
    assert isinstance(arch, TrmConfig)
    carry = reset_halted(golden.carry_before(call), buffers, *golden.batch(call))
    weights = {key: np.asarray(value, np.float64) for key, value in golden.state_dict.items()}
    states = (np.swapaxes(np.asarray(each, np.float64), 0, 1) for each in carry.state.values())
    answers = [
        trm.supervision_step(arch, weights, *each)
        for each in zip(*states, np.asarray(carry.inputs), np.asarray(carry.puzzle_ids), strict=True)
    ]
    out = golden.group(f"call{call}/out")
    assert_close([each.logits for each in answers], out["logits"], golden.tolerance, "logits")
    assert_close([each.halt for each in answers], out["q_halt_logits"], golden.tolerance, "q_halt")
    after = golden.carry_after(call)
    ours = np.swapaxes([each.y for each in answers], 0, 1)
    assert_close(ours, np.asarray(after.state["z_H"]), golden.tolerance, "z_H")
    losses = [
        trm.loss_of(arch, answer, labels)
        for answer, labels in zip(answers, np.asarray(carry.labels), strict=True)
    ]
    loss = np.asarray(golden.arrays[f"call{call}/loss"])
    assert_close(sum(each.total for each in losses), loss, golden.tolerance, "loss")
