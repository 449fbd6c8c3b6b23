"""bfloat16 on a CPU against the public float32: no further away than the plain bfloat16 formulation."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden.golden import NAMES, Golden
from trm_scaling.models import cpu, reset_halted
from trm_scaling.models.interchange import to_public
from trm_scaling.train.step import batch_gradients

FEW = {"inner.q_head.bias", "lm_loss", "q_halt_loss"}
"""Of one number or two."""
CALLS = (0, 3)
"""Those whose gradients the vectors hold."""


def distances(golden: Golden, call: int, plain: bool) -> dict[str, float]:
    """How far each gradient and each output is from the public code's, as a share of its norm."""
    arch = golden.config.arch.model_copy(update={"forward_dtype": "bfloat16"})
    config = golden.config.model_copy(update={"arch": arch})
    params, buffers = golden.weights()
    before = golden.carry_before(call)
    # States are kept in the forward precision.
    states = {name: state.astype(jnp.bfloat16) for name, state in before.state.items()}
    carry = reset_halted(replace(before, state=states), buffers, *golden.batch(call))
    with mock.patch.object(cpu, "applies", return_value=False) if plain else nullcontext():
        # A function of its own: JAX would find the other way's trace.
        step = jax.jit(lambda *given: batch_gradients(config, *given))
        grads, answer = step(params, carry, jnp.float32(1))
    expected = golden.group(f"call{call}/grad")
    del expected["puzzle_emb_rows"]
    ours: dict[str, Any] = {
        name: array for name, array in to_public(arch, grads, buffers).items() if name in expected
    }
    assert ours.keys() == expected.keys()
    losses = answer.losses
    for found, name in ((losses.cells, "lm_loss"), (losses.halting, "q_halt_loss")):
        ours[name], expected[name] = jnp.sum(found), golden.arrays[f"call{call}/metrics/{name}"]
    after = golden.carry_after(call)
    for name in ("z_H", "z_L"):
        ours[name], expected[name] = np.asarray(answer.state[name]), np.asarray(after.state[name])
    return {name: _distance(ours[name], array) for name, array in expected.items()}


def _distance(found: Any, exact: np.ndarray) -> float:
    size = float(np.linalg.norm(exact))
    return float(np.linalg.norm(np.asarray(found, np.float64) - exact)) / size if size else 0.0


@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])]
)
def test_a_step_is_as_near_the_public_float32_as_the_plain_formulations(name: str) -> None:
    golden = Golden.load(name)
    for call in CALLS:
        ours, plain = (distances(golden, call, plain) for plain in (False, True))
        assert ours != plain, "the two formulations are the same"
        assert max(plain.values()) > 1e-4, "bfloat16 was not used"
        # The vectors are chaotic: in bfloat16 a step is about 60 % away either way. A few numbers are luck of
        # the rounding; many, or all leaves together, are not.
        for leaf in ours.keys() - FEW:
            error = ours[leaf]
            assert error <= 1.6 * plain[leaf] + 1e-3, (
                f"call {call}, {leaf}: {error:.4f}, plain {plain[leaf]:.4f}"
            )
        # Attention was 13 % further away in one of four comparisons, and nearer in others.
        assert sum(ours.values()) <= (1.1 if golden.config.arch.mlp_t else 1.2) * sum(plain.values())
