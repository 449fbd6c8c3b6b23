"""The GPU's kernels against the plain version, interpreted."""

import importlib.util
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden.golden import Golden, assert_close
from trm_scaling.models import Execution, gate_kernel, reset_halted, step
from trm_scaling.models.interchange import to_public
from trm_scaling.models.layers import gated, mix_positions, rms_norm
from trm_scaling.models.model import puzzle_rows
from trm_scaling.train.step import batch_gradients

HAS_CUDA = any(importlib.util.find_spec(f"jax_cuda{version}_plugin") is not None for version in (12, 13))

FOR_AN_H200 = """
import jax
from trm_scaling.parallel.topology import described_devices
there = jax.sharding.SingleDeviceSharding(described_devices("h200")[0])
import jax.numpy as jnp
from trm_scaling.cost.kernels import kernels
from trm_scaling.models.gate_kernel import gated_product, mix_and_normalise
def array(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.bfloat16, sharding=there)
def mixed(gate, up, down, x):
    return mix_and_normalise(gate, up, down, x, 1e-5)
for call, given in (
    (mixed, (array(97, 512), array(97, 512), array(512, 97), array(97, 8, 512))),
    (gated_product, (array(776, 512), array(512, 1536), array(512, 1536))),
):
    text = jax.jit(call).lower(*given).compile().as_text()
    print([(each.kind, each.bytes) for each in kernels(text)])
"""

TOLERANCE = {"float32": 2e-6, "bfloat16": 2e-2}
"""Of a value's largest magnitude: both round the same values, after sums in another order."""


def random(seed: int, *shape: int, dtype: str) -> jax.Array:
    return (jax.random.normal(jax.random.key(seed), shape) * shape[0] ** -0.5).astype(dtype)


def assert_near(ours: jax.Array, plain: jax.Array, dtype: str) -> None:
    wide, expected = (np.asarray(each.astype(jnp.float32)) for each in (ours, plain))
    assert np.isfinite(wide).all()
    np.testing.assert_allclose(wide, expected, rtol=0, atol=TOLERANCE[dtype] * np.abs(expected).max())


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
    carry = reset_halted(golden.carry_before(0), buffers, *golden.batch(0))
    traced = jax.jit(batch_gradients, static_argnums=0).trace(config, params, carry, jnp.float32(1))
    assert "mix_and_normalise" in str(traced.jaxpr)
    grads, answer = traced.lower().compile()(params, carry, jnp.float32(1))
    assert_close(answer.losses.total, golden.arrays["call0/loss"], golden.tolerance, "loss")
    expected = golden.group("call0/grad")
    del expected["puzzle_emb_rows"]
    ours = to_public(config.arch, grads, buffers)
    for name, gradient in expected.items():
        assert_close(ours[name], gradient, golden.tolerance, name)


def test_no_pass_of_an_evaluation_needs_a_gradient() -> None:
    golden = Golden.load("trm_attention_rope")
    params, buffers = golden.weights()
    carry = reset_halted(golden.carry_before(1), buffers, *golden.batch(1))

    @partial(jax.jit, static_argnames="differentiated")
    def answer(differentiated: bool) -> jax.Array:
        how = Execution(unroll=False, gate_kernels=True, differentiated=differentiated)
        rows = puzzle_rows(params, carry.puzzle_ids)
        return step(golden.config.arch, params, carry.state, carry.inputs, rows, how).logits

    for differentiated in (False, True):
        expected = golden.arrays["call1/out/logits"]
        assert_close(answer(differentiated=differentiated), expected, golden.tolerance, "logits")


def test_a_tpu_takes_the_plain_version() -> None:
    from trm_scaling.models import layers

    assert gate_kernel.frozen_block("tpu") is layers.block
    assert gate_kernel.frozen_block("gpu") is not layers.block


@pytest.mark.skipif(not HAS_CUDA, reason="takes the extra [gpu]")
def test_both_compile_for_an_h200_to_one_kernel_each() -> None:
    # In a process of its own: it sets variables that JAX reads once.
    done = subprocess.run(
        [sys.executable, "-c", FOR_AN_H200],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        env={"JAX_PLATFORMS": "cpu", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    state, weights = 2 * 97 * 8 * 512, 2 * 3 * 97 * 512
    hidden, wide = 2 * 776 * 1536, 2 * 2 * 512 * 1536
    assert done.stdout.splitlines() == [
        str([("products", 2 * state + weights)]),
        str([("products", 2 * 776 * 512 + wide + hidden)]),
    ]
