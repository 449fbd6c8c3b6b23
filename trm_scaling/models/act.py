"""Adaptive computation time: the carry that lives across supervision steps, and when a slot halts.

A slot of the batch works on one puzzle for several supervision steps; when it has halted, the next
step resets its states and takes the puzzle offered at its place in the new batch. A slot that has not
halted ignores that offer, as in the public code. Shapes: B batch, L positions, C cells, D width.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from trm_scaling.config import ArchConfig
from trm_scaling.models.layers import Params, State


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Carry:
    """What a batch of slots remembers between supervision steps; part of every checkpoint."""

    z_H: State
    z_L: State
    steps: Int[Array, " B"]
    """Supervision steps the slot's puzzle has had."""
    halted: Bool[Array, " B"]
    """Whether the slot takes a new puzzle at the next step."""
    inputs: UInt8[Array, "B C"]
    labels: UInt8[Array, "B C"]
    """0 marks a cell without a label; a row of zeros is padding and never counts."""
    puzzle_ids: Int[Array, " B"]


def empty_carry(arch: ArchConfig, batch_size: int, seq_len: int) -> Carry:
    """A carry in which every slot has halted, so that the first step fills all of them."""
    states = jnp.zeros(
        (arch.prefix_len + seq_len, batch_size, arch.hidden_size), jnp.dtype(arch.forward_dtype)
    )
    return Carry(
        z_H=states,
        z_L=states,
        steps=jnp.zeros(batch_size, jnp.int32),
        halted=jnp.ones(batch_size, jnp.bool_),
        inputs=jnp.zeros((batch_size, seq_len), jnp.uint8),
        labels=jnp.zeros((batch_size, seq_len), jnp.uint8),
        puzzle_ids=jnp.zeros(batch_size, jnp.int32),
    )


def begin(
    carry: Carry,
    buffers: Params,
    inputs: UInt8[Array, "B C"],
    labels: UInt8[Array, "B C"],
    puzzle_ids: Int[Array, " B"],
) -> Carry:
    """The carry with halted slots reset to the initial states `buffers` and given the new puzzles."""
    new = carry.halted

    def state(old: State, initial: Float[Array, " D"]) -> State:
        return jnp.where(new[None, :, None], initial.astype(old.dtype)[None, None, :], old)

    return Carry(
        z_H=state(carry.z_H, buffers["H_init"]),
        z_L=state(carry.z_L, buffers["L_init"]),
        steps=jnp.where(new, 0, carry.steps),
        halted=jnp.zeros_like(new),
        inputs=jnp.where(new[:, None], inputs, carry.inputs),
        labels=jnp.where(new[:, None], labels, carry.labels),
        puzzle_ids=jnp.where(new, puzzle_ids, carry.puzzle_ids),
    )


def halt(
    key: Array,
    steps: Int[Array, " B"],
    q_halt: Float[Array, " B"],
    exploration: Float[Array, ""] | float,
    max_steps: int,
) -> Bool[Array, " B"]:
    """Which slots halt in training after `steps` supervision steps (this one counted).

    At `max_steps` always; before that when the halting logit is above zero, unless (with
    probability `exploration`) the slot drew a least number of steps from {2..max_steps} it has
    not reached. `key` is a typed JAX key; the draws are fresh each step, as in the public code.
    """
    last = steps >= max_steps
    if max_steps == 1:
        return last
    coin, draw = jax.random.split(key)
    explores = jax.random.uniform(coin, steps.shape) < exploration
    least = jnp.where(explores, jax.random.randint(draw, steps.shape, 2, max_steps + 1), 0)
    return (last | wants_to_halt(q_halt)) & (steps >= least)


def wants_to_halt(q_halt: Any) -> Any:
    """Whether each halting logit asks to stop, in training and evaluation: above zero. Of JAX or NumPy."""
    return q_halt > 0
