"""Grids as tokens, and tokens as grids: colours, symmetries, offsets, EOS, PAD and the crop.

A sequence is a square of S x S cells (30 in the public code) read row by row. PAD is 0, EOS 1, colour c is
c + 2. EOS runs along the row below a grid and the column right of it, where they lie inside the square;
their corner stays PAD. PAD is not scored.

The functions take NumPy arrays or traced JAX arrays, and return the same kind: they are the dataset's
encoder on the host, and what a step calls to augment on a device. N examples, S cells along an edge,
L = S * S positions.
"""

from math import isqrt, prod
from typing import Any

from jaxtyping import Bool, Int32, UInt8

from trm_scaling.tasks.arc.description import VOCAB_SIZE
from trm_scaling.tasks.grid_symmetry import NUM_SYMMETRIES, image_shape, source_cell

PAD = 0
EOS = 1
FIRST_COLOUR = 2

_SWAPS_AXES = [each for each in range(NUM_SYMMETRIES) if image_shape(each, 1, 2) == (2, 1)]


def image_shapes(shapes: Int32[Any, "N 2"], symmetry: Int32[Any, " N"]) -> Int32[Any, "N 2"]:
    """Rows and columns of the images of grids of `shapes`, each under its own symmetry 0..7."""
    xp = shapes.__array_namespace__()
    swaps = sum((symmetry == each for each in _SWAPS_AXES[1:]), symmetry == _SWAPS_AXES[0])
    return xp.where(swaps[:, None], shapes[:, ::-1], shapes)


def encode(
    grids: UInt8[Any, "N S S"],
    shapes: Int32[Any, "N 2"],
    symmetry: Int32[Any, " N"],
    colours: UInt8[Any, "N 10"],
    offset: Int32[Any, "N 2"],
) -> UInt8[Any, "N L"]:
    """The tokens of grids under their transformations.

    Args:
        grids: each grid at the top left of its square; what lies outside of `shapes` is not read.
        shapes: rows and columns of each grid.
        symmetry: 0..7, applied after the colours.
        colours: old colour -> new colour.
        offset: row and column at which the image's corner lies.

    Returns:
        tokens, [N, L].
    """
    xp = grids.__array_namespace__()
    row, col = _cells(xp, grids.shape[1])
    row, col = row - offset[:, :1, None], col - offset[:, 1:, None]
    inside, cells = _image(xp, grids, shapes, symmetry, row, col)
    tokens = xp.take_along_axis(colours, xp.astype(cells, xp.int32), axis=1) + xp.uint8(FIRST_COLOUR)
    rows, cols = (each[:, None, None] for each in image_shapes(shapes, symmetry).T)
    in_rows, in_cols = (row >= 0) & (row < rows), (col >= 0) & (col < cols)
    border = ((row == rows) & in_cols) | (in_rows & (col == cols))
    blank = xp.astype(_flat(border), xp.uint8)  # EOS is 1 and PAD is 0
    return xp.where(_flat(inside), tokens, blank)


def transform(
    grids: UInt8[Any, "N S S"],
    shapes: Int32[Any, "N 2"],
    symmetry: Int32[Any, " N"],
    colours: UInt8[Any, "N 10"],
) -> tuple[UInt8[Any, "N S S"], Int32[Any, "N 2"]]:
    """The images of grids, at the top left of their squares and 0 elsewhere, and their shapes."""
    xp = grids.__array_namespace__()
    row, col = _cells(xp, grids.shape[1])
    inside, cells = _image(xp, grids, shapes, symmetry, row, col)
    images = xp.take_along_axis(colours, xp.astype(cells, xp.int32), axis=1)
    return xp.where(_flat(inside), images, xp.uint8(0)).reshape(grids.shape), image_shapes(shapes, symmetry)


def crop(tokens: UInt8[Any, "N L"]) -> tuple[UInt8[Any, "N S S"], Int32[Any, "N 2"]]:
    """The answers that tokens stand for: the largest rectangle of colours at the top left.

    Of rectangles of equal area the one with fewer rows. Without a colour at the top left the answer is the
    empty grid, of shape 0x0.

    Returns:
        colours [N, S, S], 0 outside of the rectangle, and shapes [N, 2].
    """
    xp = tokens.__array_namespace__()
    side = isqrt(tokens.shape[1])
    square = tokens.reshape(tokens.shape[0], side, side)
    legal = (square >= FIRST_COLOUR) & (square < VOCAB_SIZE)
    lead = xp.sum(xp.cumulative_prod(xp.astype(legal, xp.int32), axis=2), axis=2, dtype=xp.int32)
    # The widest rectangle of r + 1 rows is as wide as the narrowest of those rows.
    width = _running_minimum(xp, lead)
    height = xp.arange(1, side + 1, dtype=xp.int32)[None, :]
    best = xp.astype(xp.argmax(width * height, axis=1), xp.int32)  # the first of equal ones: fewer rows
    cols = xp.take_along_axis(width, best[:, None], axis=1)[:, 0]
    shapes = xp.stack([xp.where(cols > 0, best + 1, 0), cols], axis=1)
    row, col = _cells(xp, side)
    inside = (row < shapes[:, :1, None]) & (col < shapes[:, 1:, None])
    return xp.where(inside, square - xp.uint8(FIRST_COLOUR), xp.uint8(0)), shapes


def _cells(xp: Any, side: int) -> tuple[Int32[Any, "1 S 1"], Int32[Any, "1 1 S"]]:
    line = xp.arange(side, dtype=xp.int32)
    return line[None, :, None], line[None, None, :]


def _image(
    xp: Any,
    grids: UInt8[Any, "N S S"],
    shapes: Int32[Any, "N 2"],
    symmetry: Int32[Any, " N"],
    row: Any,
    col: Any,
) -> tuple[Bool[Any, "N S S"], UInt8[Any, "N L"]]:
    """Which cells (row, col) lie on the images, and the old colours there (anything elsewhere)."""
    height, width = (each[:, None, None] for each in shapes.T)
    source_row, source_col = source_cell(symmetry[:, None, None], row, col, height, width)
    inside = (source_row >= 0) & (source_row < height) & (source_col >= 0) & (source_col < width)
    source = xp.where(inside, source_row * grids.shape[1] + source_col, 0)
    return inside, xp.take_along_axis(_flat(grids), _flat(source), axis=1)


def _flat(squares: Any) -> Any:
    # Not -1, which no array without rows can be reshaped to.
    return squares.reshape(squares.shape[0], prod(squares.shape[1:]))


def _running_minimum(xp: Any, values: Int32[Any, "N S"]) -> Int32[Any, "N S"]:
    # The array standard has no cumulative minimum; doubling takes five passes over 30 columns.
    step = 1
    while step < values.shape[1]:
        shifted = xp.concat([values[:, :step], values[:, :-step]], axis=1)
        values = xp.minimum(values, shifted)
        step *= 2
    return values


def grid_of(tokens: UInt8[Any, " L"]) -> UInt8[Any, "H W"]:
    """The answer that the tokens of one grid stand for (`crop`), without what lies outside of it."""
    grids, shapes = crop(tokens[None])
    height, width = shapes[0].tolist()
    return grids[0, :height, :width]
