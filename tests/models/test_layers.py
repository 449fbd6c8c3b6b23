"""The layers one by one, against plain NumPy. L positions, B batch, D width, H heads, K head size."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.config import TrmConfig
from trm_scaling.models import layers
from trm_scaling.models.init import init_params
from trm_scaling.models.layers import (
    attend,
    attention_for,
    block,
    gated,
    mix_positions,
    mix_width,
    rms_norm,
    rotate,
    rotation_table,
    split_gates,
)

L, B, D, H = 7, 3, 8, 2
EPS = 1e-5


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def rms(x: np.ndarray, axis: int) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis, keepdims=True) + EPS)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_rms_norm_makes_the_mean_square_one_along_its_axis(axis: int) -> None:
    x = 5 * normal(0, L, B, D)
    out = np.asarray(rms_norm(x, axis, EPS))
    np.testing.assert_allclose(out, rms(np.asarray(x, np.float64), axis), rtol=1e-5)
    np.testing.assert_allclose((out**2).mean(axis), 1, rtol=1e-4)


def test_rms_norm_of_zeros_is_zero_and_eps_counts() -> None:
    assert not rms_norm(jnp.zeros((2, 3)), -1, EPS).any()
    np.testing.assert_allclose(rms_norm(jnp.ones((1, 4)), -1, 3.0), 0.5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rms_norm_squares_in_float32(dtype: str) -> None:
    x = jnp.full((1, 4), 1000, jnp.dtype(dtype))  # its square is beyond float16
    out = rms_norm(x, -1, EPS)
    assert out.dtype == jnp.dtype(dtype)
    np.testing.assert_allclose(np.asarray(out, np.float32), 1, rtol=1e-2)


@pytest.mark.parametrize("axis", [0, -1])
def test_the_gradient_of_rms_norm_is_that_of_its_formula(axis: int) -> None:
    def formula(x: jax.Array) -> jax.Array:
        return x * jax.lax.rsqrt(jnp.mean(x * x, axis, keepdims=True) + EPS)

    x, grad = 5 * normal(0, L, B, D), normal(1, L, B, D)
    expected = jax.vjp(formula, x)[1](grad)[0]
    np.testing.assert_allclose(jax.vjp(lambda x: rms_norm(x, axis, EPS), x)[1](grad)[0], expected, atol=1e-6)


def test_the_gradient_of_the_gate_is_that_of_its_formula() -> None:
    gate, up, grad = (5 * normal(seed, B, D) for seed in range(3))
    expected = jax.vjp(lambda gate, up: gate / (1 + jnp.exp(-gate)) * up, gate, up)[1](grad)
    found = jax.vjp(gated, gate, up)[1](grad)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gate", [-1e4, -90.0, 0.0, 90.0, 1e4])
def test_the_gradient_of_the_gate_is_finite_everywhere(gate: float) -> None:
    both = jax.grad(gated, argnums=(0, 1))(jnp.float32(gate), jnp.float32(2))
    np.testing.assert_allclose(both, (2.0 * (gate > 0) + (gate == 0), max(gate, 0.0)), atol=1e-5)


def swiglu(weights: dict[str, jax.Array], rows: np.ndarray) -> np.ndarray:
    """On the last axis: silu(gate) * up, then down; the gate is the first half."""
    gate_up, down = (np.asarray(weights[name], np.float64) for name in ("gate_up", "down"))
    gate, up = np.split(rows @ gate_up, 2, axis=-1)
    return (gate / (1 + np.exp(-gate)) * up) @ down


def test_mixing_over_width_treats_every_position_alike() -> None:
    weights = {"gate_up": normal(0, D, 10), "down": normal(1, 5, D)}
    x = normal(2, L, B, D)
    np.testing.assert_allclose(
        mix_width(split_gates({"mlp": weights})["mlp"], x),
        swiglu(weights, np.asarray(x)),
        rtol=1e-4,
        atol=1e-4,
    )


def test_mixing_over_positions_treats_every_channel_alike() -> None:
    weights = {"gate_up": normal(0, L, 10), "down": normal(1, 5, L)}
    x = normal(2, L, B, D)
    expected = np.moveaxis(swiglu(weights, np.moveaxis(np.asarray(x), 0, -1)), -1, 0)
    np.testing.assert_allclose(
        mix_positions(split_gates({"mix": weights})["mix"], x), expected, rtol=1e-4, atol=1e-4
    )


def test_attention_is_the_plain_formula() -> None:
    weights = {"qkv": normal(0, D, 3 * D), "out": normal(1, D, D)}
    x = normal(2, L, B, D)
    K = D // H
    q, k, v = (
        part.reshape(L, B, H, K) for part in np.split(np.asarray(x @ weights["qkv"], np.float64), 3, axis=-1)
    )
    mixed = np.zeros((L, B, H, K))
    for b, h in np.ndindex(B, H):
        scores = q[:, b, h] @ k[:, b, h].T / np.sqrt(K)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed[:, b, h] = shares / shares.sum(-1, keepdims=True) @ v[:, b, h]
    expected = mixed.reshape(L, B, D) @ np.asarray(weights["out"])
    np.testing.assert_allclose(attend(weights, x, H, None), expected, rtol=1e-3, atol=1e-3)


def test_attention_without_positions_knows_no_order_and_with_rotation_does() -> None:
    weights = {"qkv": normal(0, D, 3 * D), "out": normal(1, D, D)}
    x = normal(2, L, B, D)
    order = jnp.array([3, 1, 0, 6, 5, 2, 4])
    np.testing.assert_allclose(
        attend(weights, x[order], H, None), attend(weights, x, H, None)[order], atol=1e-4
    )
    rotation = rotation_table(L, D // H, 10_000.0)
    one, other = attend(weights, x[order], H, rotation), attend(weights, x, H, rotation)[order]
    assert np.abs(np.asarray(one - other)).max() > 1e-2


def test_rotated_attention_sees_distances_and_not_places() -> None:
    weights = {"qkv": normal(0, D, 3 * D), "out": normal(1, D, D)}
    x = normal(2, L, B, D)
    cos, sin = rotation_table(L + 9, D // H, 100.0)
    near, far = attend(weights, x, H, (cos[:L], sin[:L])), attend(weights, x, H, (cos[9:], sin[9:]))
    np.testing.assert_allclose(near, far, atol=1e-4)


def test_rotated_products_depend_on_the_distance_alone() -> None:
    K = 6
    rotation = rotation_table(L, K, 100.0)
    query, key = (jnp.broadcast_to(normal(seed, K), (L, 1, 1, K)) for seed in (0, 1))
    turned = [np.asarray(rotate(x, rotation))[:, 0, 0] for x in (query, key)]
    products = turned[0] @ turned[1].T
    for distance in range(-L + 1, L):
        along = np.diagonal(products, distance)
        np.testing.assert_allclose(along, along[0], rtol=1e-4, atol=1e-5)
    assert np.ptp(products[0]) > 0.1, "and it does depend on the distance"


def test_rotation_keeps_lengths_and_the_first_position() -> None:
    rotation = rotation_table(L, 4, 10_000.0)
    x = normal(0, L, B, H, 4)
    out = rotate(x, rotation)
    np.testing.assert_array_equal(out[0], x[0])
    np.testing.assert_allclose(jnp.linalg.norm(out, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-5)


def test_rotation_turns_each_pair_at_its_own_speed() -> None:
    """Pair k of K / 2 by theta^(-2k / K) a position."""
    K, theta = 4, 10_000.0
    x = jnp.zeros((L, 1, 1, K)).at[..., 0].set(1.0).at[..., 1].set(1.0)
    out = np.asarray(rotate(x, rotation_table(L, K, theta)))[:, 0, 0]
    for k in (0, 1):
        angles = np.arange(L) * theta ** (-2 * k / K)
        np.testing.assert_allclose(out[:, k], np.cos(angles), atol=1e-5)
        np.testing.assert_allclose(out[:, k + K // 2], np.sin(angles), atol=1e-5)


@pytest.mark.parametrize(("mlp_t", "axis"), [(True, 0), (False, -1)])
def test_a_block_normalises_over_positions_after_mixing_them_and_over_width_last(mlp_t, axis) -> None:
    """With all weights zero only the two normalisations are left."""
    arch = TrmConfig(
        hidden_size=D,
        num_heads=H,
        puzzle_emb_len=1,
        puzzle_emb_ndim=D,
        mlp_t=mlp_t,
        pos_encodings="none" if mlp_t else "learned",
    )
    layer = init_params(jax.random.key(0), arch, 6, L - 1, 1)["layers"][0]
    layer = split_gates(layer)
    x = 3 * normal(1, L, B, D)
    out = block(arch, jax.tree.map(jnp.zeros_like, layer), x, None)
    np.testing.assert_allclose(out, rms(rms(np.asarray(x, np.float64), axis), -1), rtol=1e-5)


def test_a_block_adds_what_it_mixes_before_it_normalises() -> None:
    arch = TrmConfig(hidden_size=D, puzzle_emb_len=1, puzzle_emb_ndim=D)
    layer = init_params(jax.random.key(0), arch, 6, L - 1, 1)["layers"][0]
    layer = split_gates(layer)
    x = normal(1, L, B, D)
    middle = rms(np.asarray(x + mix_positions(layer["mix"], x), np.float64), 0)
    last = rms(middle + np.asarray(mix_width(layer["mlp"], jnp.asarray(middle, jnp.float32))), -1)
    np.testing.assert_allclose(block(arch, layer, x, None), last, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_attention_is_the_library_s_to_rounding(dtype: str) -> None:
    weights = {"qkv": normal(0, D, 3 * D), "out": normal(1, D, D)}
    weights, x = jax.tree.map(lambda leaf: leaf.astype(dtype), (weights, normal(2, L, B, D)))
    rotation = rotation_table(L, D // H, 1e4)
    # The library mixes precisions without saying so, which these tests otherwise refuse.
    with jax.numpy_dtype_promotion("standard"):
        ours, library = (
            jax.value_and_grad(lambda x, kind=kind: jnp.sum(attend(weights, x, H, rotation, kind)))(x)
            for kind in ("written_out", "xla")
        )
    tolerance = 1e-4 if dtype == "float32" else 0.05
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(library), strict=True):
        scale = np.abs(np.asarray(other, np.float32)).max()
        off = np.abs(np.asarray(mine, np.float32) - np.asarray(other, np.float32)).max()
        assert off <= tolerance * scale


@pytest.mark.parametrize(
    ("platform", "dtype", "head_size", "has_gpu", "expected"),
    [
        ("cpu", "float32", 64, False, "written_out"),
        ("tpu", "bfloat16", 64, False, "xla"),
        ("gpu", "bfloat16", 64, True, "cudnn"),
        ("gpu", "float16", 128, True, "cudnn"),
        ("gpu", "bfloat16", 64, False, "xla"),
        ("gpu", "float32", 64, True, "xla"),
        ("gpu", "bfloat16", 136, True, "xla"),
        ("gpu", "bfloat16", 12, True, "xla"),
    ],
)
def test_attention_is_chosen_by_platform_and_shape(platform, dtype, head_size, has_gpu, expected) -> None:
    with mock.patch.object(layers, "_has_fused_kernel", return_value=has_gpu):
        assert attention_for(jnp.dtype(dtype), head_size, platform) == expected
