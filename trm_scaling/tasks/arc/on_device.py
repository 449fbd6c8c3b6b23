"""Images of ARC's grids inside a step: an augmentation as one number, and tokens under it.

The number holds a symmetry (3 bits), the rank of a permutation of the colours 1 to 9 (19 bits), and the row
and column at which the grid lies (5 bits each). 0 changes nothing.

B batch, S cells along an edge, C = S * S.
"""

from math import isqrt
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int32, UInt8

from trm_scaling.tasks.arc.identifiers import NUM_PERMUTATIONS, permutations
from trm_scaling.tasks.arc.tokens import FIRST_COLOUR, PAD, crop, encode, transform
from trm_scaling.tasks.grid_symmetry import INVERSES

_RANK, _ROW, _COLUMN = 3, 22, 27
"""First bits of the parts; the symmetry's is 0."""


def packed(code: Int32[np.ndarray, " N"], offset: Int32[np.ndarray, "N 2"]) -> Int32[np.ndarray, " N"]:
    """The numbers of augmentations by their codes (`IdentifierMap.code`) and offsets."""
    symmetry, rank, row, column = (
        np.asarray(each).astype(np.uint32)
        for each in (code // NUM_PERMUTATIONS, code % NUM_PERMUTATIONS, offset[:, 0], offset[:, 1])
    )
    return (symmetry | rank << _RANK | row << _ROW | column << _COLUMN).view(np.int32)


def augment(
    index: Int[Array, " B"], inputs: UInt8[Array, "B C"], labels: UInt8[Array, "B C"]
) -> tuple[UInt8[Array, "B C"], UInt8[Array, "B C"]]:
    """The images of puzzles that lie at the top left of their squares, and of their labels."""
    symmetry, colours, offset = _parts(index)
    images = (encode(*_grids(tokens), symmetry, colours, offset) for tokens in (inputs, labels))
    return tuple(images)


def invert(index: Int[Array, " B"], answers: UInt8[Array, "B C"]) -> UInt8[Array, "B C"]:
    """Answers to images, turned back: the largest legal rectangle where the image lies, and its border."""
    symmetry, colours, offset = _parts(index)
    side = isqrt(answers.shape[1])
    line = jnp.arange(side)
    row, column = line[None, :] + offset[:, :1], line[None, :] + offset[:, 1:]
    inside = (row < side)[:, :, None] & (column < side)[:, None, :]
    source = jnp.where(inside, row[:, :, None] * side + column[:, None, :], 0).reshape(answers.shape)
    moved = jnp.where(inside.reshape(answers.shape), jnp.take_along_axis(answers, source, axis=1), PAD)
    undo = jnp.asarray(INVERSES, jnp.int32)[symmetry]
    old = jnp.argsort(colours, axis=1).astype(jnp.uint8)
    grids, shapes = transform(*crop(moved.astype(jnp.uint8)), undo, old)
    zeros = jnp.zeros_like(symmetry)
    return encode(grids, shapes, zeros, permutations(zeros), jnp.zeros_like(offset))


def _parts(index: Int[Array, " B"]) -> tuple[Array, Array, Array]:
    """Symmetry, colours (B, 10) and offset (B, 2) of augmentations."""
    bits = index.astype(jnp.uint32)
    symmetry = (bits & 7).astype(jnp.int32)
    rank = ((bits >> _RANK) & (2 ** (_ROW - _RANK) - 1)).astype(jnp.int32)
    offset = jnp.stack([(bits >> _ROW) & 31, bits >> _COLUMN], axis=1).astype(jnp.int32)
    return symmetry, permutations(rank), offset


def _grids(tokens: UInt8[Array, "B C"]) -> tuple[Any, Any]:
    """Colours (B, S, S) and shapes (B, 2) of grids that lie at the top left."""
    side = isqrt(tokens.shape[1])
    square = tokens.reshape(-1, side, side)
    filled = square >= FIRST_COLOUR
    shapes = jnp.stack([filled[:, :, 0].sum(axis=1), filled[:, 0, :].sum(axis=1)], axis=1).astype(jnp.int32)
    return jnp.where(filled, square - FIRST_COLOUR, 0).astype(jnp.uint8), shapes
