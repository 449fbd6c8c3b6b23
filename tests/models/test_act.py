"""Rows, puzzles and halting, against a plain-Python machine with the public code's rules.

B batch, C cells.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trm_scaling.config import TrmConfig
from trm_scaling.models import Carry, empty_carry, halt, reset_halted
from trm_scaling.models.init import init_buffers

B, C = 3, 4
ARCH = TrmConfig(hidden_size=8, puzzle_emb_len=1, puzzle_emb_ndim=8, forward_dtype="float32")
BUFFERS = init_buffers(jax.random.key(0), ARCH)


@dataclass
class Row:
    """One place of the batch, as the public code works it (`trm.py`, forward of the ACT wrapper)."""

    halted: bool = True
    steps: int = 0
    puzzle: int = 0

    def step(self, offered: int, q_halt: float, least: int, max_steps: int) -> None:
        if self.halted:
            self.puzzle, self.steps = offered, 0
        self.steps += 1
        self.halted = self.steps >= max_steps or (max_steps > 1 and q_halt > 0)
        if max_steps > 1:
            self.halted = self.halted and self.steps >= least


def offer(puzzles: list[int]) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(inputs, labels, ids) in which a puzzle's number stands everywhere."""
    numbers = np.array(puzzles)
    cells = np.repeat(numbers[:, None], C, axis=1).astype(np.uint8)
    return jnp.asarray(cells), jnp.asarray(cells + 1), jnp.asarray(numbers, jnp.int32)


def worked_on(carry: Carry, value: float) -> Carry:
    """The carry after a forward pass that left `value` in every state."""
    states = jnp.full_like(carry.state["z_H"], value)
    return replace(carry, state={"z_H": states, "z_L": -states}, steps=carry.steps + 1)


q_halts = st.lists(st.floats(-2, 2, width=32, allow_subnormal=False), min_size=B, max_size=B)


@settings(max_examples=40)
@given(st.lists(q_halts, min_size=1, max_size=8), st.sampled_from([1, 2, 3, 5]), st.booleans())
def test_every_row_follows_the_public_rules(calls: list[list[float]], max_steps: int, explore: bool) -> None:
    """Exploration is certain where `explore`: with two steps at most, the draw is then always 2."""
    explore = explore and max_steps == 2
    rows, carry = [Row() for _ in range(B)], empty_carry(ARCH, B, C)
    for call, q_halt in enumerate(calls):
        fresh = np.asarray(carry.halted)
        offered = [10 * call + b for b in range(B)]
        carry = reset_halted(carry, BUFFERS, *offer(offered))
        for row, puzzle, q in zip(rows, offered, q_halt, strict=True):
            row.step(puzzle, q, least=2 if explore else 0, max_steps=max_steps)

        expected = np.array([row.puzzle for row in rows])
        np.testing.assert_array_equal(carry.puzzle_ids, expected)
        np.testing.assert_array_equal(carry.inputs, np.repeat(expected[:, None], C, 1))
        np.testing.assert_array_equal(carry.labels, np.repeat(expected[:, None] + 1, C, 1))
        for b in range(B):
            before = call - 1  # what `worked_on` left there
            H, L = (BUFFERS["H_init"], BUFFERS["L_init"]) if fresh[b] else (before, -before)
            np.testing.assert_array_equal(carry.state["z_H"][:, b], np.broadcast_to(H, (1 + C, 8)))
            np.testing.assert_array_equal(carry.state["z_L"][:, b], np.broadcast_to(L, (1 + C, 8)))

        carry = worked_on(carry, call)
        np.testing.assert_array_equal(carry.steps, [row.steps for row in rows])
        logits = jnp.array(q_halt, jnp.float32)
        halted = halt(jax.random.key(call), carry.steps, logits, 1.0 if explore else 0.0, max_steps)
        np.testing.assert_array_equal(halted, [row.halted for row in rows])
        carry = replace(carry, halted=halted)


def test_an_empty_carry_takes_a_puzzle_in_every_row() -> None:
    carry = empty_carry(ARCH, B, C)
    assert carry.halted.all()
    assert carry.state["z_H"].shape == carry.state["z_L"].shape == (1 + C, B, 8)
    assert carry.state["z_H"].dtype == jnp.float32
    assert not carry.labels.any(), "an untouched row is padding"
    begun = reset_halted(carry, BUFFERS, *offer([7, 8, 9]))
    np.testing.assert_array_equal(begun.puzzle_ids, [7, 8, 9])
    assert not begun.halted.any()


def test_states_are_kept_in_the_forward_precision() -> None:
    arch = ARCH.model_copy(update={"forward_dtype": "bfloat16"})
    carry = reset_halted(empty_carry(arch, B, C), BUFFERS, *offer([1, 2, 3]))
    assert carry.state["z_H"].dtype == carry.state["z_L"].dtype == jnp.bfloat16
    assert carry.inputs.dtype == carry.labels.dtype == jnp.uint8


MANY, LAST = 20_000, 6


@pytest.mark.parametrize("exploration", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("steps", range(1, LAST + 1))
def test_exploration_forbids_halting_before_a_uniform_draw(steps: int, exploration: float) -> None:
    """A row that wants to halt may, unless it explores and drew more than `steps` of {2..LAST}."""
    halted = np.asarray(halt(jax.random.key(steps), jnp.full(MANY, steps), jnp.ones(MANY), exploration, LAST))
    forbidden = exploration * (LAST - max(steps, 1)) / (LAST - 1)
    spread = 4 * np.sqrt(forbidden * (1 - forbidden) / MANY)
    assert halted.mean() == pytest.approx(1 - forbidden, abs=spread + 1e-9)


def test_a_slot_that_does_not_want_to_halt_goes_on_to_the_last_step() -> None:
    for steps in range(1, LAST + 1):
        for q in (-1.0, 0.0):  # zero is not above zero
            halted = halt(jax.random.key(0), jnp.full(9, steps), jnp.full(9, q), 0.5, LAST)
            assert (halted == (steps == LAST)).all()


def test_draws_are_independent_between_slots_and_steps() -> None:
    wants = jnp.ones(MANY)
    first, again, other = (
        np.asarray(halt(jax.random.key(seed), jnp.full(MANY, 2), wants, 0.5, LAST)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.04
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.04


@pytest.mark.parametrize("exploration", [0.0, 1.0])
def test_with_one_step_everyone_halts_at_once(exploration: float) -> None:
    q_halt = jnp.array([-5.0, 5.0])
    assert halt(jax.random.key(0), jnp.ones(2, jnp.int32), q_halt, exploration, 1).all()
