"""The training step as one would first write it: the baseline that `make bench` compares ours with.

States are (B, L, D), mixing over positions is an `einsum`, the whole batch goes through at once, the
recursion is unrolled. Same function, same parameters, same update; `tests/benchmarks` holds its
gradients equal to ours. Shapes: B batch, L positions, C cells, D width, F hidden, V vocabulary.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trm_scaling.config import ArchConfig, RunConfig, TrmConfig
from trm_scaling.losses import cross_entropy_of, trm_losses
from trm_scaling.models import Carry, halt
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.optim import (
    TracedHparams,
    exploration_probability,
    learning_rate_factor,
    signed_step,
    update_ema,
    update_params,
)
from trm_scaling.train.state import TrainState, averaged_part, network_of
from trm_scaling.train.step import Batch

Params = dict[str, Any]
State = Float[Array, "B L D"]


def plain_state(state: TrainState) -> TrainState:
    """`state` with the carry laid out as this formulation has it."""
    carry = state.carry
    z_H, z_L = (jnp.swapaxes(z, 0, 1) for z in (carry.state["z_H"], carry.state["z_L"]))
    return dataclasses.replace(state, carry=dataclasses.replace(carry, state={"z_H": z_H, "z_L": z_L}))


def plain_step(
    config: RunConfig, state: TrainState, hyper: TracedHparams, batch: Batch
) -> tuple[TrainState, Float[Array, ""]]:
    """One training step of a state made by `plain_state`: the new state and the mean loss."""
    step = state.step + 1
    carry = plain_begin(state.carry, state.buffers, batch)
    grads, (loss, z_H, z_L, q_halt) = plain_gradients(config, state.params, carry)
    factor = learning_rate_factor(step, hyper)
    network, optimizer = update_params(
        config.optimizer, network_of(state.params), network_of(grads), state.optimizer, hyper, factor
    )
    params = dict(network)
    if PUZZLE_EMB in state.params:
        rows = state.params[PUZZLE_EMB]
        seen = jnp.zeros(rows.shape[0], jnp.bool_).at[carry.puzzle_ids].set(True)
        stepped = signed_step(rows, grads[PUZZLE_EMB], hyper, factor)
        params[PUZZLE_EMB] = jnp.where(seen[:, None], stepped, rows)
    ema = state.ema and update_ema(state.ema, averaged_part(config, params), hyper.ema_rate)
    steps = carry.steps + 1
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), step)
    exploration = exploration_probability(step, hyper)
    halted = halt(key, steps, q_halt, exploration, config.arch.halt_max_steps)
    states = {"z_H": z_H, "z_L": z_L}
    carry = dataclasses.replace(carry, state=states, steps=steps, halted=halted)
    new = dataclasses.replace(state, step=step, params=params, ema=ema, optimizer=optimizer, carry=carry)
    return new, loss


def plain_begin(carry: Carry, buffers: Params, batch: Batch) -> Carry:
    """The carry with halted rows reset and given the new puzzles."""
    new = carry.halted

    def state(old: State, initial: Float[Array, " D"]) -> State:
        return jnp.where(new[:, None, None], initial.astype(old.dtype)[None, None, :], old)

    return Carry(
        {f"z_{name}": state(carry.state[f"z_{name}"], buffers[f"{name}_init"]) for name in "HL"},
        steps=jnp.where(new, 0, carry.steps),
        halted=jnp.zeros_like(new),
        inputs=jnp.where(new[:, None], batch.inputs, carry.inputs),
        labels=jnp.where(new[:, None], batch.labels, carry.labels),
        puzzle_ids=jnp.where(new, batch.puzzle_ids, carry.puzzle_ids),
    )


def plain_gradients(
    config: RunConfig, params: Params, carry: Carry
) -> tuple[Params, tuple[Float[Array, ""], State, State, Float[Array, " B"]]]:
    """Gradients of the mean loss, and (mean loss, z_H, z_L, halting logits)."""

    assert isinstance(config.arch, TrmConfig)
    arch = config.arch

    def loss(params: Params) -> tuple[Float[Array, ""], tuple[Array, State, State, Array]]:
        z_H, z_L, logits, q_halt = plain_forward(arch, params, carry)
        losses = trm_losses(logits, q_halt, carry.labels, cross_entropy_of(config.arch.loss))
        mean = losses.total / len(q_halt)
        return mean, jax.lax.stop_gradient((mean, z_H, z_L, q_halt))

    return jax.grad(loss, has_aux=True)(params)


def plain_forward(
    arch: TrmConfig, params: Params, carry: Carry
) -> tuple[State, State, Float[Array, "B C V"], Float[Array, " B"]]:
    """(z_H, z_L, logits, halting logits) after one supervision step."""
    dtype = jnp.dtype(arch.forward_dtype)
    batch, width = carry.inputs.shape[0], arch.hidden_size
    x = jnp.take(params["embed_tokens"], carry.inputs.astype(jnp.int32), axis=0).astype(dtype)
    if arch.prefix_len:
        prefix = jnp.zeros((batch, arch.prefix_len * width), dtype)
        if arch.puzzle_emb_ndim:
            rows = jnp.take(params[PUZZLE_EMB], carry.puzzle_ids, axis=0).astype(dtype)
            prefix = jnp.pad(rows, ((0, 0), (0, arch.prefix_len * width - arch.puzzle_emb_ndim)))
        x = jnp.concatenate([prefix.reshape(batch, arch.prefix_len, width), x], axis=1)
    x = width**0.5 * x

    def network(z: State) -> State:
        for layer in params["layers"]:
            z = plain_block(arch, jax.tree.map(lambda leaf: leaf.astype(dtype), layer), z)
        return z

    def cycle(z_H: State, z_L: State) -> tuple[State, State]:
        for _ in range(arch.L_cycles):
            z_L = network(z_L + z_H + x)
        return network(z_H + z_L), z_L

    z_H, z_L = carry.state["z_H"], carry.state["z_L"]
    for _ in range(arch.H_cycles - 1):
        z_H, z_L = cycle(z_H, z_L)
    z_H, z_L = cycle(*jax.lax.stop_gradient((z_H, z_L)))
    logits = z_H[:, arch.prefix_len :] @ params["lm_head"].astype(dtype)
    q_logits = (
        z_H[:, 0] @ params["q_head"]["weight"].astype(dtype) + params["q_head"]["bias"].astype(dtype)[None]
    )
    return z_H, z_L, logits, q_logits[:, 0].astype(jnp.float32)


def plain_block(arch: ArchConfig, params: Params, x: State) -> State:
    """Mix positions, then width; each added and normalised. `arch.mlp_t` alone."""
    hidden = plain_gate(jnp.einsum("bld,lf->bdf", x, params["mix"]["gate_up"]))
    x = plain_rms_norm(x + jnp.einsum("bdf,fl->bld", hidden, params["mix"]["down"]), 1, arch.rms_norm_eps)
    hidden = plain_gate(jnp.einsum("bld,df->blf", x, params["mlp"]["gate_up"]))
    return plain_rms_norm(x + jnp.einsum("blf,fd->bld", hidden, params["mlp"]["down"]), -1, arch.rms_norm_eps)


def plain_gate(hidden: Float[Array, "... 2F"]) -> Float[Array, "... F"]:
    """silu of the first half times the second."""
    gate, up = jnp.split(hidden, 2, axis=-1)
    return jax.nn.silu(gate) * up


def plain_rms_norm(x: State, axis: int, eps: float) -> State:
    """`x` over the root of its mean square along `axis`, in float32."""
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis, keepdims=True) + eps)).astype(x.dtype)
