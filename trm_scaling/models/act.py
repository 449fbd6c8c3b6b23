"""Adaptive computation time: the carry that lives across supervision steps, and when a row halts.

A row of the batch works on one puzzle for several supervision steps; when it has halted, the next
step resets its states and takes the puzzle offered at its place in the new batch. A row that has not
halted ignores that offer, as in the public code. Shapes: B batch, C cells.
"""

from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import GetAttrKey
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from trm_scaling.config import ArchConfig
from trm_scaling.models.layers import Params
from trm_scaling.models.model import BATCH_AXIS, States, empty_state, reset


@jax.tree_util.register_pytree_with_keys_class
@dataclass(frozen=True)
class Carry:
    """What the rows of a batch remember between supervision steps; part of every checkpoint."""

    state: States
    """Of the model. In a checkpoint each array lies beside the rest under its own name (`carry/z_H`), as it
    did when there was one model."""
    steps: Int[Array, " B"]
    """Supervision steps the row's puzzle has had."""
    halted: Bool[Array, " B"]
    """Whether the row takes a new puzzle at the next step."""
    inputs: UInt8[Array, "B C"]
    labels: UInt8[Array, "B C"]
    """0 marks a cell without a label; a row of zeros is padding and never counts."""
    puzzle_ids: Int[Array, " B"]

    def tree_flatten_with_keys(self) -> tuple[list[tuple[GetAttrKey, Any]], tuple[str, ...]]:
        rest = {name: getattr(self, name) for name in _REST}
        return [(GetAttrKey(name), leaf) for name, leaf in (self.state | rest).items()], tuple(self.state)

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], leaves: Any) -> "Carry":
        leaves = tuple(leaves)
        return cls(dict(zip(names, leaves[: len(names)], strict=True)), *leaves[len(names) :])

    @property
    def batch_axes(self) -> "Carry":
        """Along which axis of each leaf the batch lies."""
        axes: dict[str, Any] = dict.fromkeys(_REST, 0)
        return Carry(jax.tree.map(lambda _: BATCH_AXIS, self.state), **axes)


_REST = tuple(field.name for field in fields(Carry) if field.name != "state")


def empty_carry(arch: ArchConfig, batch_size: int, seq_len: int) -> Carry:
    """A carry in which every row has halted, so that the first step fills all of them."""
    return Carry(
        empty_state(arch, batch_size, seq_len),
        steps=jnp.zeros(batch_size, jnp.int32),
        halted=jnp.ones(batch_size, jnp.bool_),
        inputs=jnp.zeros((batch_size, seq_len), jnp.uint8),
        labels=jnp.zeros((batch_size, seq_len), jnp.uint8),
        puzzle_ids=jnp.zeros(batch_size, jnp.int32),
    )


def reset_halted(
    carry: Carry,
    buffers: Params,
    inputs: UInt8[Array, "B C"],
    labels: UInt8[Array, "B C"],
    puzzle_ids: Int[Array, " B"],
    drawn: Key[Array, " B"] | None = None,
) -> Carry:
    """The carry with halted rows reset and given the new puzzles: to the initial states `buffers`, or to
    states that are drawn by a key for each row.
    """
    new = carry.halted
    return Carry(
        reset(buffers, carry.state, new, drawn),
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
    """Which rows halt in training after `steps` supervision steps (this one counted).

    At `max_steps` always; before that when the halting logit is above zero, unless (with
    probability `exploration`) the row drew a least number of steps from {2..max_steps} it has
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
