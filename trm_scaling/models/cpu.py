"""The block in bfloat16 as a CPU computes it fast: the function of `layers.block`, with other products.

XLA hands a CPU's products to kernels that multiply bfloat16 (AMX, AVX512-BF16) only if the result is
float32 and the left operand is contracted over its last axis. Any other product of bfloat16 is converted
to float32 first and gains nothing. What automatic differentiation makes of a product has neither
property, so the gradients are written out here, half a block at a time.

Shapes: B batch, L positions, D width, F hidden, H heads, K head size, N = L*B or B*D.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, BFloat16, Float, Float32

from trm_scaling.config import ArchConfig
from trm_scaling.models.layers import Params, Rotation, State, rms_norm, rotate


def applies(dtype: jnp.dtype, platform: str | None) -> bool:
    """Whether blocks of this precision are computed here: bfloat16, in a program for a CPU.

    `platform`: what the program is compiled for; None: JAX's default.
    """
    return dtype == jnp.bfloat16 and (platform or jax.default_backend()) == "cpu"


class Weight(NamedTuple):
    """A weight as passes read it. Gradients go to `master`, and the copies are made once for all passes."""

    master: Float[Array, "I O"]
    """As stored; nothing is computed from it."""
    half: BFloat16[Array, "I O"]


class TurnedWeight(NamedTuple):
    """A weight that some products have on the right, or turned on the left."""

    master: Float[Array, "I O"]
    half: BFloat16[Array, "I O"]
    turned: BFloat16[Array, "O I"]
    """The transpose of `half`."""


def prepare(layer: Params) -> Params:
    """The parameters of a block as `block` takes them."""
    cut: Params = {}
    if "mix" in layer:
        cut["mix"] = {
            "gate_up": as_turned_weight(layer["mix"]["gate_up"]),
            "down": as_turned_weight(layer["mix"]["down"]),
        }
    else:
        cut["attention"] = {name: as_weight(weight) for name, weight in layer["attention"].items()}
    gate, up = jnp.split(layer["mlp"]["gate_up"], 2, axis=1)
    # Turned: its gradient then needs a transposed copy of what is D wide and none of what is F wide.
    down = as_weight(turn(layer["mlp"]["down"]))
    cut["mlp"] = {"gate": as_weight(gate), "up": as_weight(up), "down": down}
    return cut


def as_weight(master: Float[Array, "I O"]) -> Weight:
    """`master` with its copy."""
    return Weight(master, jax.lax.stop_gradient(master).astype(jnp.bfloat16))


def as_turned_weight(master: Float[Array, "I O"]) -> TurnedWeight:
    """`master` with both copies."""
    weight = as_weight(master)
    return TurnedWeight(*weight, turn(weight.half))


def block(arch: ArchConfig, params: Params, x: State, rotation: Rotation | None) -> State:
    """One block, as `layers.block` computes it. `params` come from `prepare`, `x` is bfloat16."""
    length, batch, width = x.shape
    eps = arch.rms_norm_eps
    if arch.mlp_t:
        mix = params["mix"]
        flat = mix_positions(eps, x.reshape(length, batch * width), mix["gate_up"], mix["down"])
        x = flat.reshape(x.shape)
    else:
        mixed = attend(params["attention"], x, arch.num_heads, rotation)
        x = rms_norm(x + mixed, axis=-1, eps=eps)
    mlp = params["mlp"]
    flat = mix_width(eps, x.reshape(length * batch, width), mlp["gate"], mlp["up"], mlp["down"])
    return flat.reshape(x.shape)


def dot(
    left: BFloat16[Array, "*S M K"], right: BFloat16[Array, "*S I O"], axis: int
) -> Float32[Array, "*S M N"]:
    """The product over the last axis of `left` and `axis` (-1 or -2) of `right`: the fast kind."""
    batch = tuple(range(left.ndim - 2))
    contracted = (left.ndim - 1,), (right.ndim + axis,)
    return jax.lax.dot_general(left, right, (contracted, (batch, batch)), preferred_element_type=jnp.float32)


def turn(x: Float[Array, "*S M K"]) -> Float[Array, "*S K M"]:
    """The transpose, as an array of its own.

    XLA folds a transposition into the product that reads it, which then leaves the fast kernel; an
    optimisation barrier does not hinder it. It cannot fold one through three axes.
    """
    *stack, rows, columns = x.shape
    first = len(stack)
    if columns % TILE == 0:
        parts = x.reshape(*stack, rows, TILE, columns // TILE)
        turned = jnp.moveaxis(parts, first, -1)
    elif rows % TILE == 0:
        parts = x.reshape(*stack, TILE, rows // TILE, columns)
        turned = jnp.moveaxis(parts, -1, first)
    else:
        spare = -columns % TILE
        padded = turn(jnp.pad(x, [(0, 0)] * (first + 1) + [(0, spare)]))
        return jax.lax.slice_in_dim(padded, 0, columns, axis=first)
    return jax.lax.optimization_barrier(turned.reshape(*stack, columns, rows))


TILE = 8
"""Length of the third axis in `turn`."""


@jax.custom_vjp
def project(x: BFloat16[Array, "N I"], weight: Weight) -> BFloat16[Array, "N O"]:
    """Rows times a weight."""
    return dot(x, weight.half, -2).astype(x.dtype)


def _project(x: Array, weight: Weight) -> tuple[Array, Any]:
    return project(x, weight), (x, weight.half)


def _project_gradient(kept: Any, grad: Array) -> tuple[Array, Weight]:
    x, half = kept
    return dot(grad, half, -1).astype(x.dtype), _master(dot(turn(x), grad, -2))


project.defvjp(_project, _project_gradient)


@jax.custom_vjp
def matches(
    queries: BFloat16[Array, "B H Q K"], keys: BFloat16[Array, "B H S K"]
) -> Float32[Array, "B H Q S"]:
    """Inner products of queries and keys."""
    return dot(queries, keys, -1)


def _matches(queries: Array, keys: Array) -> tuple[Array, Any]:
    return matches(queries, keys), (queries, keys)


def _matches_gradient(kept: Any, grad: Array) -> tuple[Array, Array]:
    queries, keys = kept
    grad = grad.astype(queries.dtype)
    d_queries, d_keys = dot(grad, keys, -2), dot(turn(grad), queries, -2)
    return d_queries.astype(queries.dtype), d_keys.astype(queries.dtype)


matches.defvjp(_matches, _matches_gradient)


@jax.custom_vjp
def averages(
    shares: BFloat16[Array, "B H Q S"], values: BFloat16[Array, "B H S K"]
) -> BFloat16[Array, "B H Q K"]:
    """Sums of the values, by shares."""
    return dot(shares, values, -2).astype(values.dtype)


def _averages(shares: Array, values: Array) -> tuple[Array, Any]:
    return averages(shares, values), (shares, values)


def _averages_gradient(kept: Any, grad: Array) -> tuple[Array, Array]:
    shares, values = kept
    d_shares, d_values = dot(grad, values, -1), dot(turn(shares), grad, -2)
    return d_shares.astype(grad.dtype), d_values.astype(grad.dtype)


averages.defvjp(_averages, _averages_gradient)


def times(x: BFloat16[Array, "*N I"], master: Float[Array, "I O"]) -> BFloat16[Array, "*N O"]:
    """`x` times a float32 weight, over the last axis of `x`."""
    return _times(x, as_weight(master))


def _times(x: Array, weight: Weight) -> Array:
    return project(x.reshape(-1, x.shape[-1]), weight).reshape(*x.shape[:-1], -1)


def attend(params: Params, x: State, num_heads: int, rotation: Rotation | None) -> State:
    """Multi-head self-attention over all positions, both ways, softmax in float32."""
    length, batch, width = x.shape
    qkv = _times(x, params["qkv"]).reshape(length, batch, 3, num_heads, width // num_heads)
    query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    if rotation is not None:
        query, key = rotate(query, rotation), rotate(key, rotation)
    query, key, value = (
        jax.lax.optimization_barrier(jnp.moveaxis(each, 0, 2)) for each in (query, key, value)
    )
    scores = matches(query, key)
    shares = jax.nn.softmax(scores * (width // num_heads) ** -0.5, axis=-1).astype(x.dtype)
    mixed = jnp.moveaxis(jax.lax.optimization_barrier(averages(shares, value)), 2, 0)
    return _times(mixed.reshape(x.shape), params["out"])


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def mix_width(
    eps: float, x: BFloat16[Array, "N D"], gate: Weight, up: Weight, down: Weight
) -> BFloat16[Array, "N D"]:
    """norm(x + SwiGLU over the width); `down` is turned: (D, F)."""
    return _mix_width(eps, x, gate, up, down)[0]


def _mix_width(eps: float, x: Array, gate: Weight, up: Weight, down: Weight) -> tuple[Array, Any]:
    g, u = dot(x, gate.half, -2), dot(x, up.half, -2)
    hidden = (g * sigmoid(g) * u).astype(x.dtype)
    normed, scale = _added_and_normed(eps, -1, x, dot(hidden, down.half, -1))
    kept = x, g.astype(x.dtype), u.astype(x.dtype), normed, scale
    return normed, (kept, gate.half, up.half, down.half)


def _mix_width_gradient(eps: float, kept: Any, grad: Array) -> tuple[Array, Weight, Weight, Weight]:
    (x, g, u, normed, scale), gate, up, down = kept
    d_sum = _norm_gradient(-1, normed, scale, grad)
    d_mixed = d_sum.astype(x.dtype)
    d_g, d_u, hidden = _gate_gradient(g, u, dot(d_mixed, down, -2))
    d_x = (d_sum + dot(d_g, gate, -1) + dot(d_u, up, -1)).astype(x.dtype)
    turned = turn(x)
    d_gate, d_up = dot(turned, d_g, -2), dot(turned, d_u, -2)
    return d_x, _master(d_gate), _master(d_up), _master(dot(turn(d_mixed), hidden, -2))


mix_width.defvjp(_mix_width, _mix_width_gradient)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def mix_positions(
    eps: float, x: BFloat16[Array, "L N"], gate_up: TurnedWeight, down: TurnedWeight
) -> BFloat16[Array, "L N"]:
    """norm(x + SwiGLU over the positions), alike for all N channels of the batch."""
    return _mix_positions(eps, x, gate_up, down)[0]


def _mix_positions(eps: float, x: Array, gate_up: TurnedWeight, down: TurnedWeight) -> tuple[Array, Any]:
    g, u = jnp.split(dot(gate_up.turned, x, -2), 2, axis=0)
    hidden = (g * sigmoid(g) * u).astype(x.dtype)
    normed, scale = _added_and_normed(eps, 0, x, dot(down.turned, hidden, -2))
    kept = x, g.astype(x.dtype), u.astype(x.dtype), normed, scale
    return normed, (kept, gate_up.half, down.half)


def _mix_positions_gradient(eps: float, kept: Any, grad: Array) -> tuple[Array, TurnedWeight, TurnedWeight]:
    (x, g, u, normed, scale), gate_up, down = kept
    d_sum = _norm_gradient(0, normed, scale, grad)
    d_mixed = d_sum.astype(x.dtype)
    d_g, d_u, hidden = _gate_gradient(g, u, dot(down, d_mixed, -2))
    d_gate_up = jnp.concatenate([d_g, d_u], axis=0)
    d_x = (d_sum + dot(gate_up, d_gate_up, -2)).astype(x.dtype)
    return d_x, _turned_master(dot(x, d_gate_up, -1)), _turned_master(dot(hidden, d_mixed, -1))


mix_positions.defvjp(_mix_positions, _mix_positions_gradient)


def sigmoid(x: Float32[Array, "..."]) -> Float32[Array, "..."]:
    """The logistic function to 5e-5, for what is rounded to bfloat16, whose numbers are 4e-3 apart below 1.

    Lambert's continued fraction of tanh(x / 2), seven terms deep, cut where it reaches 1. With XLA's
    exponential the gates take a fifth of a step at `laptop` (docs/LOG.md).
    """
    half = jnp.clip(0.5 * x, -4.971786, 4.971786)
    square = half * half
    above = half * (135135 + square * (17325 + square * (378 + square)))
    below = 135135 + square * (62370 + square * (3150 + 28 * square))
    return 0.5 + 0.5 * above / below


def _added_and_normed(eps: float, axis: int, x: Array, mixed: Array) -> tuple[Array, Array]:
    """(x + mixed over the root of its mean square along `axis`, one over that root)."""
    wide = x.astype(mixed.dtype) + mixed
    scale = jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=axis, keepdims=True) + eps)
    return (wide * scale).astype(x.dtype), scale


def _norm_gradient(axis: int, normed: Array, scale: Array, grad: Array) -> Array:
    """The gradient of the sum that was normalised, in float32."""
    wide, normed = grad.astype(scale.dtype), normed.astype(scale.dtype)
    return scale * (wide - normed * jnp.mean(wide * normed, axis=axis, keepdims=True))


def _gate_gradient(g: Array, u: Array, grad: Array) -> tuple[Array, Array, Array]:
    """(gradient of the gate, of up, and the hidden layer once more), in one pass over three arrays."""
    gate, up = g.astype(grad.dtype), u.astype(grad.dtype)
    share = sigmoid(gate)
    silu = gate * share
    d_gate = grad * up * (share + silu * (1 - share))
    return d_gate.astype(g.dtype), (grad * silu).astype(g.dtype), (silu * up).astype(g.dtype)


def _master(gradient: Array) -> Any:
    """The gradient of a `Weight`: all of it the master's. None is JAX's word for zero."""
    copies: Any = None
    return Weight(gradient, copies)


def _turned_master(gradient: Array) -> Any:
    """The gradient of a `TurnedWeight`."""
    copies: Any = None
    return TurnedWeight(gradient, copies, copies)
