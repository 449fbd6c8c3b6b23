"""Augmentation on the device: a random symmetry as a function of (seed, puzzle, index) alone.

Nothing is stored and nothing is remembered, so 1,000 puzzles x 1,000 augmentations cost 81 kB a
side, any host can make any example, and a resumed run sees the bytes it would have seen. The group
is the public builder's (uniform over digits, bands, rows, stacks, columns and, where boxes are
square, transposition); the stream of draws is ours.

B batch, C cells, S side, V vocabulary.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int, Integer, UInt8, UInt32

from trm_scaling.tasks.sudoku.board import BLANK_TOKEN, Shape


def augment(
    seed: Integer[Array, ""] | int,
    puzzle_index: Integer[Array, " B"],
    aug_index: Integer[Array, " B"],
    inputs: UInt8[Array, "B C"],
    labels: UInt8[Array, "B C"],
    shape: Shape,
) -> tuple[UInt8[Array, "B C"], UInt8[Array, "B C"]]:
    """Images of a batch of puzzles and of their solutions under the same symmetries.

    Pure and traceable; `shape` is static. Works under strict dtype promotion and without rank
    promotion, so it can stand inside a larger jitted step.

    Args:
        seed: scalar integer, traced or not.
        puzzle_index: [B] integers; which stream of augmentations (the puzzle's number).
        aug_index: [B] integers >= 0; index 0 is the identity.
        inputs: [B, C] uint8 tokens.
        labels: [B, C] uint8 tokens.
        shape: the board.

    Returns:
        inputs and labels, [B, C] uint8.
    """
    key = jax.random.key(jnp.asarray(seed, jnp.uint32))
    one = partial(_augment_one, shape=shape)
    return jax.vmap(one, in_axes=(None, 0, 0, 0, 0))(
        key, puzzle_index.astype(jnp.uint32), aug_index.astype(jnp.uint32), inputs, labels
    )


augment_batch = jax.jit(augment, static_argnames="shape")
"""`augment`, compiled by itself: for the host and tests."""


def invert(
    seed: Integer[Array, ""] | int,
    puzzle_index: Integer[Array, " B"],
    aug_index: Integer[Array, " B"],
    answers: UInt8[Array, "B C"],
    shape: Shape,
) -> UInt8[Array, "B C"]:
    """Answers to images of puzzles, turned back to the puzzles themselves. Traceable; arguments as
    `augment`.
    """

    def one(puzzle_index: Array, aug_index: Array, answer: Array) -> Array:
        source, tokens = _symmetry(key, puzzle_index, aug_index, shape)
        return jnp.zeros_like(answer).at[source].set(jnp.argsort(tokens).astype(jnp.uint8)[answer])

    key = jax.random.key(jnp.asarray(seed, jnp.uint32))
    return jax.vmap(one)(puzzle_index.astype(jnp.uint32), aug_index.astype(jnp.uint32), answers)


def _augment_one(
    key: Array,
    puzzle_index: UInt32[Array, ""],
    aug_index: UInt32[Array, ""],
    inputs: UInt8[Array, " C"],
    labels: UInt8[Array, " C"],
    *,
    shape: Shape,
) -> tuple[UInt8[Array, " C"], UInt8[Array, " C"]]:
    source, tokens = _symmetry(key, puzzle_index, aug_index, shape)
    both = jnp.stack([inputs, labels])[:, source]
    inputs, labels = tokens[both]
    return inputs, labels


def _symmetry(
    key: Array, puzzle_index: UInt32[Array, ""], aug_index: UInt32[Array, ""], shape: Shape
) -> tuple[Int[Array, " C"], UInt8[Array, " V"]]:
    """The cell that each cell of an image comes from, and the token that each token becomes."""
    side = shape.side
    key = jax.random.fold_in(jax.random.fold_in(key, puzzle_index), aug_index)
    bands, stacks = side // shape.box_rows, side // shape.box_cols
    # One draw for everything: digits, bands, rows, stacks, columns, transposition.
    bits = jax.random.bits(key, (3 * side + bands + stacks + 1,), jnp.uint32)
    digit_bits, row_bits, col_bits, band_bits, stack_bits, flip_bits = jnp.split(
        bits, np.cumsum([side, side, side, bands, stacks]).tolist()
    )
    moved = aug_index > 0
    rows = _random_lines(band_bits, row_bits, shape.box_rows)
    cols = _random_lines(stack_bits, col_bits, shape.box_cols)
    row_of, col_of = jnp.repeat(rows, side), jnp.tile(cols, side)
    source = row_of * side + col_of
    if shape.transposable:
        source = jnp.where(flip_bits[0] & 1 == 1, col_of * side + row_of, source)
    source = jnp.where(moved, source, jnp.arange(shape.cells))
    digits = jnp.where(moved, _random_permutation(digit_bits), jnp.arange(side))
    tokens = jnp.concatenate(
        [jnp.arange(BLANK_TOKEN + 1, dtype=jnp.uint8), (digits + BLANK_TOKEN + 1).astype(jnp.uint8)]
    )
    return source, tokens


def _random_permutation(bits: UInt32[Array, "*batch n"]) -> Int[Array, "*batch n"]:
    """Ranks of random words along the last axis: a uniform permutation, [..., n] int32.

    Comparing all pairs beats a sort at these sizes on every backend: it is one fused elementwise
    kernel. Equal words (chance n^2 / 2^33) are ranked by place, so the result is always one.
    """
    count = bits.shape[-1]
    mine, other = bits[..., :, None], bits[..., None, :]
    earlier = jnp.broadcast_to(jnp.tri(count, k=-1, dtype=bool), (*bits.shape, count))
    mine, other = jnp.broadcast_arrays(mine, other)
    return jnp.sum((other < mine) | ((other == mine) & earlier), axis=-1, dtype=jnp.int32)


def _random_lines(
    block_bits: UInt32[Array, " blocks"], line_bits: UInt32[Array, " S"], block: int
) -> Int[Array, " S"]:
    """A random order of lines that keeps blocks of `block` lines together, [S] int32."""
    blocks = _random_permutation(block_bits)
    within = _random_permutation(line_bits.reshape(blocks.shape[0], block))
    return (jnp.repeat(blocks, block).reshape(within.shape) * block + within).reshape(-1)
