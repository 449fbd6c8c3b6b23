"""The eight symmetries of a grid, numbered as the public TRM code numbers them.

    0  the grid itself                  4  mirrored left to right
    1  a quarter turn, anticlockwise    5  mirrored top to bottom
    2  a half turn                      6  transposed
    3  a quarter turn, clockwise        7  transposed along the other diagonal (1, then 4)

The functions on NumPy arrays take a symmetry as a plain number. `source_cell`, `transform_squares` and
`invert_squares` also take traced arrays, so they can stand inside a jitted step. Only the last two import
JAX.

N grids, H rows, W columns, B batch, S side of a square grid, C = S * S cells.
"""

from collections.abc import Iterator
from functools import cache
from math import isqrt
from typing import Any

import numpy as np
from jaxtyping import Integer, Shaped
from numpy.typing import NDArray

NUM_SYMMETRIES = 8

INVERSES = (0, 3, 2, 1, 4, 5, 6, 7)
"""INVERSES[t] undoes t."""

# Bit t says whether symmetry t does it. Bits, because shifting a constant works on traced numbers too.
_SWAPS_AXES = 0b1100_1010
_REVERSES_ROWS = 0b1010_1100
_REVERSES_COLUMNS = 0b1001_0110


def source_cell(symmetry: Any, row: Any, col: Any, height: Any, width: Any) -> tuple[Any, Any]:
    """The cell of an (H, W) grid that symmetry `symmetry` moves to (row, col).

    Plain arithmetic: every argument may be a number, a NumPy array or a traced array. Arrays broadcast, and
    traced ones must have one integer dtype.

    Args:
        symmetry: 0..7.
        row, col: a cell of the image, which has W rows and H columns where axes are swapped.
        height, width: H and W of the grid before the transformation. They may be traced, for grids that
            are padded to one size.

    Returns:
        row and column in the grid before the transformation.
    """
    swaps, from_below, from_right = (
        (bits >> symmetry) & 1 for bits in (_SWAPS_AXES, _REVERSES_ROWS, _REVERSES_COLUMNS)
    )
    source_row = row + swaps * (col - row)
    source_col = col + swaps * (row - col)
    return (
        source_row + from_below * (height - 1 - 2 * source_row),
        source_col + from_right * (width - 1 - 2 * source_col),
    )


def image_shape(symmetry: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the image of an (H, W) grid."""
    return (width, height) if (_SWAPS_AXES >> _checked(symmetry)) & 1 else (height, width)


def transform_grid(grid: Shaped[np.ndarray, "*N H W"], symmetry: int) -> Shaped[np.ndarray, "*N _ _"]:
    """The image of a grid, or of several of one shape, as a view of it. Raises ValueError unless 0..7."""
    match _checked(symmetry):
        case 0 | 1 | 2 | 3:
            return np.rot90(grid, symmetry, axes=(-2, -1))
        case 4:
            return grid[..., ::-1]
        case 5:
            return grid[..., ::-1, :]
        case 6:
            return np.swapaxes(grid, -1, -2)
        case _:
            return np.rot90(grid, axes=(-2, -1))[..., ::-1]


def invert_grid(grid: Shaped[np.ndarray, "*N H W"], symmetry: int) -> Shaped[np.ndarray, "*N _ _"]:
    """The grid whose image under `symmetry` is `grid`. Raises ValueError unless 0..7."""
    return transform_grid(grid, INVERSES[_checked(symmetry)])


def canonical_keys(grids: Shaped[np.ndarray, "N H W"]) -> Iterator[bytes]:
    """For each grid a key that its eight images share, and no other grid of N grids of this shape."""
    images = [np.ascontiguousarray(transform_grid(grids, each)) for each in range(NUM_SYMMETRIES)]
    for versions in zip(*images, strict=True):
        # The shape counts: a 1x4 and a 4x1 grid hold the same bytes.
        yield min(bytes([version.shape[0] > version.shape[1]]) + version.tobytes() for version in versions)


def transform_squares(
    cells: Shaped[Any, "*batch C"], symmetry: Integer[Any, "*batch"]
) -> Shaped[Any, "*batch C"]:
    """Images of flattened square grids, each under its own symmetry, as a JAX array. Traceable.

    `symmetry` holds 0..7. Raises ValueError when C is no square number.
    """
    import jax.numpy as jnp

    sources = jnp.asarray(_square_sources(cells.shape[-1]))[symmetry]
    return jnp.take_along_axis(jnp.asarray(cells), sources, axis=-1)


def invert_squares(
    cells: Shaped[Any, "*batch C"], symmetry: Integer[Any, "*batch"]
) -> Shaped[Any, "*batch C"]:
    """The grids whose images under `symmetry` are `cells`. Traceable; otherwise as `transform_squares`."""
    import jax.numpy as jnp

    return transform_squares(cells, jnp.asarray(INVERSES)[symmetry])


@cache
def _square_sources(num_cells: int) -> NDArray[np.int32]:
    """[8, C]: the flat cell that each symmetry moves to each cell of a square grid."""
    side = isqrt(num_cells)
    if side * side != num_cells:
        raise ValueError(f"{num_cells} cells are not a square grid")
    symmetry = np.arange(NUM_SYMMETRIES, dtype=np.int32)[:, None]
    row, col = np.divmod(np.arange(num_cells, dtype=np.int32), np.int32(side))
    source_row, source_col = source_cell(symmetry, row, col, side, side)
    return source_row * np.int32(side) + source_col


def _checked(symmetry: int) -> int:
    if not 0 <= symmetry < NUM_SYMMETRIES:
        raise ValueError(f"symmetry {symmetry} is not one of 0 to {NUM_SYMMETRIES - 1}")
    return symmetry
