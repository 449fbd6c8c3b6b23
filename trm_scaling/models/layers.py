"""One block of the network: mix positions, then width, each added and normalised (post-norm).

Shapes: B batch, L positions, D width, H heads, K head size, F hidden. Weights are stored (in, out).
"""

from functools import cache, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trm_scaling.config import ArchConfig

Params = dict[str, Any]
"""Nested dictionaries and lists of arrays."""

PUZZLE_EMB = "puzzle_emb"
"""The parameter that holds a row for each puzzle identifier."""

State = Float[Array, "L B D"]
Attention = Literal["written_out", "xla", "cudnn"]
"""How attention is computed: here, or by `jax.nn.dot_product_attention`."""

FLOAT32 = jnp.dtype(jnp.float32)
Rotation = tuple[Float[Array, "L K"], Float[Array, "L K"]]
"""Cosines and sines of the rotary angles."""


def wide_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """The precision of sums and angles: float32, or float64 where a test computes in it."""
    return dtype if dtype.itemsize >= 4 else FLOAT32


def widened(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """`x` in the precision of sums."""
    return x.astype(wide_dtype(x.dtype))


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def rms_norm(x: Float[Array, "..."], axis: int, eps: float) -> Float[Array, "..."]:
    """`x` over the root of its mean square along `axis`, in float32, without weights.

    Its gradient is written out, since it then needs the result and one number a row, and not `x`.
    """
    return _normed(x, axis, eps)[0]


def _normed(
    x: Float[Array, "..."], axis: int, eps: float
) -> tuple[Float[Array, "..."], tuple[Float[Array, "..."], Float[Array, "..."]]]:
    wide = widened(x)
    scale = jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=axis, keepdims=True) + eps)
    normed = (wide * scale).astype(x.dtype)
    return normed, (normed, scale)


def _normed_gradient(
    axis: int,
    eps: float,
    kept: tuple[Float[Array, "..."], Float[Array, "..."]],
    grad: Float[Array, "..."],
) -> tuple[Float[Array, "..."]]:
    normed, scale = widened(kept[0]), kept[1]
    wide = widened(grad)
    along = jnp.mean(wide * normed, axis=axis, keepdims=True)
    return ((scale * (wide - normed * along)).astype(grad.dtype),)


rms_norm.defvjp(_normed, _normed_gradient)


@jax.custom_vjp
def gated(gate: Float[Array, "..."], up: Float[Array, "..."]) -> Float[Array, "..."]:
    """silu(gate) * up.

    Its gradient is written out, since it then keeps two arrays where automatic differentiation keeps
    four, and reads them once.
    """
    return jax.nn.silu(gate) * up


def _gated(gate: Array, up: Array) -> tuple[Array, tuple[Array, Array]]:
    return gated(gate, up), (gate, up)


def _gated_gradient(kept: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    gate, up, wide = (widened(each) for each in (*kept, grad))
    # The sigmoid, by another formula than the forward pass has: XLA would otherwise find it there, keep
    # it, and take the one pass over these arrays apart into five.
    share = 0.5 + 0.5 * jnp.tanh(0.5 * gate)
    silu = gate * share
    d_gate = wide * up * (share + silu * (1 - share))
    return d_gate.astype(grad.dtype), (wide * silu).astype(grad.dtype)


gated.defvjp(_gated, _gated_gradient)


def split_gates(layer: Params) -> Params:
    """The parameters of a block with the halves of every `gate_up` on their own, as `block` takes them.

    Cut once a step, they are small; cut after the product they are the widest arrays there are.
    """
    cut = dict(layer)
    for name in ("mix", "mlp"):
        if name in layer:
            gate, up = jnp.split(layer[name]["gate_up"], 2, axis=1)
            cut[name] = {"gate": gate, "up": up, "down": layer[name]["down"]}
    return cut


def mix_positions(params: Params, x: State) -> State:
    """SwiGLU over the positions, alike for every channel: weights times (L, B*D), no transposed copy."""
    flat = x.reshape(x.shape[0], -1)
    hidden = gated(_contract_rows(params["gate"], flat), _contract_rows(params["up"], flat))
    return _contract_rows(params["down"], hidden).reshape(x.shape)


def mix_width(params: Params, x: State) -> State:
    """SwiGLU over the width, alike for every position: (L*B, D) times weights."""
    # With two axes in place of three, XLA makes no transposed copy for the weights' gradients.
    flat = x.reshape(-1, x.shape[-1])
    return (gated(flat @ params["gate"], flat @ params["up"]) @ params["down"]).reshape(x.shape)


def attend(
    params: Params,
    x: State,
    num_heads: int,
    rotation: Rotation | None,
    attention: Attention = "written_out",
) -> State:
    """Multi-head self-attention over all positions, both ways, softmax in float32."""
    length, batch, width = x.shape
    qkv = (x @ params["qkv"]).reshape(length, batch, 3, num_heads, width // num_heads)
    query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    if rotation is not None:
        query, key = rotate(query, rotation), rotate(key, rotation)
    if attention != "written_out":
        by_batch = (jnp.swapaxes(each, 0, 1) for each in (query, key, value))
        mixed = jax.nn.dot_product_attention(*by_batch, implementation=attention)
        mixed = jnp.swapaxes(mixed, 0, 1)
        return mixed.reshape(length, batch, width) @ params["out"]
    scores = jnp.einsum("qbhk,sbhk->bhqs", query, key, preferred_element_type=wide_dtype(x.dtype))
    weights = jax.nn.softmax(scores * (width // num_heads) ** -0.5, axis=-1).astype(x.dtype)
    mixed = jnp.einsum("bhqs,sbhk->qbhk", weights, value)
    return mixed.reshape(length, batch, width) @ params["out"]


def attention_for(dtype: jnp.dtype, head_size: int, platform: str | None) -> Attention:
    """How attention is computed in a program for `platform` (None: JAX's default).

    On a CPU it is written out: the library's takes 1.08 times as long with its gradient (97 positions, 32
    puzzles, width 128, 4 heads, float32: 42.8 against 39.6 ms of CPU time on a 2-core x86-64 VM with AVX-512
    and AMX, 29 Nov 2026), and has no softmax in float64, which tests compute in. bfloat16 on a CPU
    is `models.cpu`'s. Elsewhere it is `jax.nn.dot_product_attention`, by cuDNN's fused kernel where cuDNN has
    one: 16-bit numbers, heads of at most 128 numbers and a multiple of 8, and a GPU that is there (jax asks
    it for its generation, so a program for a GPU that is not there has XLA's).
    """
    match platform or jax.default_backend():
        case "cpu":
            return "written_out"
        case "gpu" if dtype.itemsize == 2 and head_size <= 128 and head_size % 8 == 0 and _has_fused_kernel():
            return "cudnn"
    return "xla"


@cache
def _has_fused_kernel() -> bool:
    """Whether this process has a GPU of the generations that cuDNN's fused attention is for."""
    if jax.default_backend() != "gpu":
        return False
    return all(float(getattr(each, "compute_capability", "0")) >= 8.0 for each in jax.local_devices())


def rotation_table(length: int, head_size: int, theta: float, dtype: jnp.dtype = FLOAT32) -> Rotation:
    """Cosines and sines of RoPE, each (L, K), in `dtype`; the two halves of a head share their angles."""
    frequencies = theta ** (-jnp.arange(0, head_size, 2, dtype=dtype) / head_size)
    angles = jnp.outer(jnp.arange(length, dtype=dtype), frequencies)
    angles = jnp.concatenate([angles, angles], axis=-1)
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: Float[Array, "L B H K"], rotation: Rotation) -> Float[Array, "L B H K"]:
    """Turn each pair (k, k + K/2) of a head by its position's angle, in float32."""
    cos, sin = (table[:, None, None, :] for table in rotation)
    wide = widened(x)
    first, second = jnp.split(wide, 2, axis=-1)
    return (wide * cos + jnp.concatenate([-second, first], axis=-1) * sin).astype(x.dtype)


def block(
    arch: ArchConfig,
    params: Params,
    x: State,
    rotation: Rotation | None,
    attention: Attention = "written_out",
) -> State:
    """One block: positions (by SwiGLU or attention), then width. `params` come from `split_gates`."""
    x = mixed(arch, params, x, rotation, attention)
    return rms_norm(x + mix_width(params["mlp"], x), axis=-1, eps=arch.rms_norm_eps)


def mixed(
    arch: ArchConfig,
    params: Params,
    x: State,
    rotation: Rotation | None,
    attention: Attention = "written_out",
) -> State:
    """The first half of a block: positions mixed by SwiGLU or attention, added and normalised."""
    if arch.mlp_t:
        # The public code normalises over positions here, since it does so on the transposed state.
        return rms_norm(x + mix_positions(params["mix"], x), axis=0, eps=arch.rms_norm_eps)
    found = attend(params["attention"], x, arch.num_heads, rotation, attention)
    return rms_norm(x + found, axis=-1, eps=arch.rms_norm_eps)


def _contract_rows(weight: Float[Array, "I O"], x: Float[Array, "I N"]) -> Float[Array, "O N"]:
    return jax.lax.dot_general(weight, x, (((0,), (0,)), ((), ())))
