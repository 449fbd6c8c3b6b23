"""The GPU's kernels against the plain version, interpreted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden.golden import Golden, assert_close
from trm_scaling.model import begin, gate_kernel
from trm_scaling.model.forward import forward
from trm_scaling.model.layers import gated, mix_positions, rms_norm
from trm_scaling.train.step import batch_gradients

TOLERANCE = {"float32": 2e-6, "bfloat16": 2e-2}
"""Of a value's largest magnitude: both round the same values, after sums in another order."""


def random(seed: int, *shape: int, dtype: str) -> jax.Array:
    return (jax.random.normal(jax.random.key(seed), shape) * shape[0] ** -0.5).astype(dtype)


def assert_near(ours: jax.Array, plain: jax.Array, dtype: str) -> None:
    ours, plain = (np.asarray(each.astype(jnp.float32)) for each in (ours, plain))
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, plain, rtol=0, atol=TOLERANCE[dtype] * np.abs(plain).max())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("length", "columns", "hidden"), [(20, (3, 24), 40), (16, (2, 16), 64)])
def test_positions_are_mixed_and_normalised(
    length: int, columns: tuple[int, int], hidden: int, dtype: str
) -> None:
    gate, up = random(1, length, hidden, dtype=dtype), random(2, length, hidden, dtype=dtype)
    down = random(3, hidden, length, dtype=dtype)
    x = random(4, length, *columns, dtype=dtype)
    plain = rms_norm(x + mix_positions({"gate": gate, "up": up, "down": down}, x), axis=0, eps=1e-5)
    assert_near(gate_kernel.mix_and_normalise(gate, up, down, x, 1e-5, interpret=True), plain, dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("rows", "width", "hidden"), [(70, 24, 150), (16, 64, 32)])
def test_a_product_is_gated(rows: int, width: int, hidden: int, dtype: str) -> None:
    x = random(1, rows, width, dtype=dtype)
    gate, up = random(2, width, hidden, dtype=dtype), random(3, width, hidden, dtype=dtype)
    assert_near(gate_kernel.gated_product(x, gate, up, interpret=True), gated(x @ gate, x @ up), dtype)


def test_a_step_with_kernels_is_the_public_codes() -> None:
    golden = Golden.load("trm_mlp_t")
    system = golden.config.system.model_copy(update={"gate_kernel": True, "unroll": False})
    config = golden.config.model_copy(update={"system": system})
    params, buffers = golden.weights()
    carry = begin(golden.carry_before(1), buffers, *golden.batch(1))
    gradients = jax.jit(batch_gradients, static_argnums=0)
    plain, expected = gradients(golden.config, params, carry, jnp.float32(1))
    ours, answer = gradients(config, params, carry, jnp.float32(1))
    assert "pallas" in str(jax.make_jaxpr(batch_gradients, static_argnums=0)(config, params, carry, 1.0))
    assert_close(answer.losses.total, np.asarray(expected.losses.total), golden.tolerance, "loss")
    jax.tree.map(lambda a, b: assert_close(a, np.asarray(b), 5e-4, "gradient"), ours, plain)


def test_no_pass_of_an_evaluation_needs_a_gradient() -> None:
    golden = Golden.load("trm_attention_rope")
    params, buffers = golden.weights()
    carry = begin(golden.carry_before(1), buffers, *golden.batch(1))
    states = carry.z_H, carry.z_L, carry.inputs, carry.puzzle_ids

    def answer(**options: bool) -> jax.Array:
        return forward(golden.config.arch, params, *states, unroll=False, **options).logits

    ours = answer(gate_kernels=True, differentiated=False)
    assert_close(ours, np.asarray(answer()), golden.tolerance, "logits")


def test_a_tpu_takes_the_plain_version() -> None:
    from trm_scaling.model import layers

    assert gate_kernel.still_block("tpu") is layers.block
    assert gate_kernel.still_block("gpu") is not layers.block
