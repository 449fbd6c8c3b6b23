"""One supervision step: T cycles of n updates of z_L and one of z_H; the last cycle carries gradients.

Shapes: B batch, L = P + C positions (prefix + cells), D width, V vocabulary.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from trm_scaling.config import ArchConfig
from trm_scaling.models import cpu, gate_kernel, layers
from trm_scaling.models.layers import (
    Params,
    Rotation,
    State,
    rotation_table,
    wide_dtype,
    widened,
)

Z = TypeVar("Z")
States = tuple[State, State]
"""(z_H, z_L)."""

PUZZLE_EMB = "puzzle_emb"
"""The parameter that holds a row for each puzzle identifier."""


class Output(NamedTuple):
    """What one supervision step answers."""

    z_H: State
    """The answer's state (the paper's y); the gradient flows through it."""
    z_L: State
    """The latent state (the paper's z)."""
    logits: Float[Array, "B C V"]
    """Over the tokens of each cell, in the forward precision."""
    q_halt: Float[Array, " B"]
    """Halting logit, float32: above zero means 'I am right'."""
    q_continue: Float[Array, " B"]
    """The second halting logit, float32; the public default, which is ours, never reads it."""


def forward(
    arch: ArchConfig,
    params: Params,
    z_H: State,
    z_L: State,
    inputs: UInt8[Array, "B C"],
    puzzle_ids: Int[Array, " B"],
    *,
    unroll: bool = True,
    remat: bool = False,
    platform: str | None = None,
    gate_kernels: bool = False,
    differentiated: bool = True,
) -> Output:
    """One supervision step from the states `z_H`, `z_L`: T(n+1) passes, the last n+1 with gradients.

    `params` are float32 and cast to the forward precision wherever they are used, so that the
    gradients of all uses (n + 1 passes, thousands of looked-up rows) are added in float32. XLA
    merges the casts. `unroll` and `remat` change time and memory, not the function. `platform` is what
    the program is compiled for (None: JAX's default): a CPU multiplies bfloat16 by another formulation.
    `gate_kernels`: passes without a gradient by `model.gate_kernel`; those are all of them unless
    `differentiated`.
    """
    # Accelerators would otherwise multiply float32 in TF32 or bfloat16 passes.
    with jax.default_matmul_precision("highest" if arch.forward_dtype == "float32" else None):
        dtype = jnp.dtype(arch.forward_dtype)
        x = embed(arch, params, inputs, puzzle_ids)
        rotation = (
            rotation_table(x.shape[0], arch.hidden_size // arch.num_heads, arch.rope_theta, wide_dtype(dtype))
            if arch.pos_encodings == "rope"
            else None
        )

        on_cpu = cpu.applies(dtype, platform)
        block = cpu.block if on_cpu else layers.block

        def network(weights: list[Params], z: State) -> State:
            return apply_network(arch, weights if on_cpu else cast(weights, dtype), z, rotation, block)

        if remat:
            network = jax.checkpoint(network)

        split = [(cpu.prepare if on_cpu else layers.split_gates)(layer) for layer in params["layers"]]

        def cycle(one_pass: Callable[[State], State], x: State, states: States) -> States:
            z_H, z_L = states
            injected = z_H + x
            z_L = _repeat(lambda z: one_pass(z + injected), z_L, arch.L_cycles, unroll)
            return one_pass(z_H + z_L), z_L

        # Nothing of the first cycles is differentiated, so nothing of them need be kept.
        still = jax.lax.stop_gradient(split)

        def still_pass(z: State) -> State:
            return network(still, z)

        if gate_kernels:
            cut = cast([layers.split_gates(layer) for layer in params["layers"]], dtype)
            frozen, by_kernels = jax.lax.stop_gradient(cut), gate_kernel.still_block(platform)

            def still_pass(z: State) -> State:
                return apply_network(arch, frozen, z, rotation, by_kernels)

        first = partial(cycle, still_pass, jax.lax.stop_gradient(x))
        states = jax.lax.stop_gradient(_repeat(first, (z_H, z_L), arch.H_cycles - 1, unroll))
        z_H, z_L = cycle(partial(network, split) if differentiated else still_pass, x, states)

        heads = cast({name: params[name] for name in ("lm_head", "q_head")}, dtype)
        times: Callable[[Array, Array], Array] = jnp.matmul
        if on_cpu:
            heads, times = (
                params | {"q_head": params["q_head"] | {"bias": heads["q_head"]["bias"]}},
                cpu.times,
            )
        logits = jnp.swapaxes(times(z_H[arch.prefix_len :], heads["lm_head"]), 0, 1)
        q_logits = widened(times(z_H[0], heads["q_head"]["weight"]) + heads["q_head"]["bias"][None])
        return Output(z_H, z_L, logits, q_logits[:, 0], q_logits[:, 1])


def cast(tree: Any, dtype: jnp.dtype) -> Any:
    """Every leaf of `tree` in `dtype`."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def embed(
    arch: ArchConfig, params: Params, inputs: UInt8[Array, "B C"], puzzle_ids: Int[Array, " B"]
) -> State:
    """The input of every pass: puzzle row in the prefix, tokens after it, scaled by sqrt(D)."""
    dtype = jnp.dtype(arch.forward_dtype)
    # Looked up in float32 and cast after: the backward pass then adds the rows up in float32.
    tokens = jnp.take(params["embed_tokens"], inputs.astype(jnp.int32).T, axis=0).astype(dtype)
    x = tokens
    if arch.prefix_len:
        batch, width = inputs.shape[0], arch.hidden_size
        prefix = jnp.zeros((batch, arch.prefix_len * width), tokens.dtype)
        if arch.puzzle_emb_ndim:
            rows = jnp.take(params[PUZZLE_EMB], puzzle_ids, axis=0).astype(dtype)
            prefix = jnp.pad(rows, ((0, 0), (0, arch.prefix_len * width - arch.puzzle_emb_ndim)))
        prefix = jnp.swapaxes(prefix.reshape(batch, arch.prefix_len, width), 0, 1)
        x = jnp.concatenate([prefix, tokens], axis=0)
    if arch.pos_encodings == "learned":
        # 0.707 keeps the variance of one table when two are added.
        x = 0.707106781 * (x + params["embed_pos"].astype(dtype)[:, None, :])
    return arch.hidden_size**0.5 * x


def apply_network(
    arch: ArchConfig,
    weights: list[Params],
    z: State,
    rotation: Rotation | None,
    block: Callable[[ArchConfig, Params, State, Rotation | None], State] = layers.block,
) -> State:
    """One pass of the network: every block in turn."""
    for layer in weights:
        z = block(arch, layer, z, rotation)
    return z


def _repeat(step: Callable[[Z], Z], start: Z, times: int, unroll: bool) -> Z:
    if unroll:
        for _ in range(times):
            start = step(start)
        return start
    return jax.lax.scan(lambda z, _: (step(z), None), start, None, length=times)[0]
