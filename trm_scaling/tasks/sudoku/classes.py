"""Which puzzles, and which solution grids, are images of one another under the symmetry group.

Puzzles get a key: every image of a puzzle has the same key, and two unrelated puzzles almost never
share one. A split that keeps keys apart therefore keeps symmetry classes apart for certain; the
rare collision costs one puzzle, never correctness. The key is a colour refinement. It starts from
the cycles between pairs of lines of the solution, because on a full grid every row looks alike.
For full grids there is an exact canonical form too.
"""

from collections.abc import Iterable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trm_scaling.tasks.sudoku.board import Digits, Shape
from trm_scaling.tasks.sudoku.symmetry import block_orders

_ROUNDS = 6
"""Refinement rounds; the graph's diameter is 4, so information has crossed it by then."""


@njit(cache=True)
def _mix(value):  # type: ignore[no-untyped-def]
    """A 64-bit finaliser (splitmix64), so that sums of mixed values tell multisets apart."""
    value = np.uint64(value) + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True)
def _refine(cells, solution, box_rows, box_cols):  # type: ignore[no-untyped-def]
    """Colour refinement over cells, lines, boxes, bands, stacks and digits; one key for the whole.

    `cells` are starting colours [C] that no symmetry changes; they are overwritten.
    """
    side = box_rows * box_cols
    bands, stacks = side // box_rows, side // box_cols
    # Rows and columns may only be told apart where no transposition exchanges them.
    row_salt, col_salt = np.uint64(3), np.uint64(3 if box_rows == box_cols else 5)
    row_colour = np.empty(side, dtype=np.uint64)
    col_colour = np.empty(side, dtype=np.uint64)
    box_colour = np.empty(side, dtype=np.uint64)
    digit_colour = np.empty(side, dtype=np.uint64)
    band_colour = np.empty(bands, dtype=np.uint64)
    stack_colour = np.empty(stacks, dtype=np.uint64)
    for _ in range(_ROUNDS):
        row_colour[:] = 0
        col_colour[:] = 0
        box_colour[:] = 0
        digit_colour[:] = 0
        band_colour[:] = 0
        stack_colour[:] = 0
        for cell in range(side * side):
            row, col = cell // side, cell % side
            colour = cells[cell]
            row_colour[row] += colour
            col_colour[col] += colour
            box_colour[(row // box_rows) * stacks + col // box_cols] += colour
            digit_colour[solution[cell] - 1] += colour
        for line in range(side):
            row_colour[line] = _mix(row_colour[line] + row_salt)
            col_colour[line] = _mix(col_colour[line] + col_salt)
            box_colour[line] = _mix(box_colour[line] + np.uint64(7))
            digit_colour[line] = _mix(digit_colour[line] + np.uint64(11))
            band_colour[line // box_rows] += row_colour[line]
            stack_colour[line // box_cols] += col_colour[line]
        for cell in range(side * side):
            row, col = cell // side, cell % side
            along = _mix(row_colour[row] + _mix(band_colour[row // box_rows]))
            across = _mix(col_colour[col] + _mix(stack_colour[col // box_cols]))
            box = box_colour[(row // box_rows) * stacks + col // box_cols]
            cells[cell] = _mix(
                cells[cell] + along + across + _mix(box) + _mix(digit_colour[solution[cell] - 1])
            )
    total = np.uint64(0)
    for cell in range(side * side):
        total += _mix(cells[cell])
    return _mix(total)


@njit(cache=True)
def _line_colours(grid, side, block, stride, step):  # type: ignore[no-untyped-def]
    """A colour per line: the cycle lengths of the digit permutations to every parallel line."""
    where = np.empty(side + 1, dtype=np.int64)
    colours = np.zeros(side, dtype=np.uint64)
    for first in range(side):
        for index in range(side):
            where[grid[first * stride + index * step]] = index
        for second in range(side):
            visited, cycles = 0, np.uint64(0)
            for start in range(side):
                length, at = 0, start
                while not (visited >> at) & 1:
                    visited |= 1 << at
                    length += 1
                    at = where[grid[second * stride + at * step]]
                if length:
                    cycles += _mix(np.uint64(length))
            neighbours = np.uint64(1 if first // block == second // block else 0)
            colours[first] += _mix(cycles + neighbours)
    return colours


@njit(cache=True)
def _keys(puzzles, solutions, box_rows, box_cols, keys):  # type: ignore[no-untyped-def]
    side = box_rows * box_cols
    salt = np.uint64(0 if box_rows == box_cols else 1)
    cells = np.empty(side * side, dtype=np.uint64)
    for index in range(puzzles.shape[0]):
        rows = _line_colours(solutions[index], side, box_rows, side, 1)
        cols = _line_colours(solutions[index], side, box_cols, 1, side)
        for cell in range(side * side):
            given = np.uint64(1 if puzzles[index, cell] else 0)
            cells[cell] = _mix(_mix(rows[cell // side]) + _mix(cols[cell % side] + salt) + given)
        keys[index] = _refine(cells, solutions[index], box_rows, box_cols)


def puzzle_keys(puzzles: Digits, solutions: Digits, shape: Shape) -> NDArray[np.uint64]:
    """A key per puzzle, [N], equal for all images of one puzzle. About 20 us each at 9x9.

    Args:
        puzzles: digits [N, C].
        solutions: the only solution of each [N, C]; a symmetry moves it with its puzzle, so it may
            sharpen the key.
    """
    keys = np.empty(len(puzzles), dtype=np.uint64)
    _keys(puzzles, solutions, shape.box_rows, shape.box_cols, keys)
    return keys


@njit(cache=True)
def _canonical(grid, row_band, col_orders, best):  # type: ignore[no-untyped-def]
    """Lower `best` to the least image of `grid` without transposing.

    The first row fixes the digits (it becomes 1..side), the column order fixes the rest up to the
    order of rows, and the least order of rows is to sort them within bands and bands by their first
    row. So side x (column orders) candidates are enough.
    """
    side = grid.shape[0]
    label = np.empty(side + 1, dtype=np.uint8)
    image = np.empty((side, side), dtype=np.uint8)
    order = np.empty(side, dtype=np.int64)
    bands = side // row_band
    for top in range(side):
        for option in range(col_orders.shape[0]):
            cols = col_orders[option]
            for index in range(side):
                label[grid[top, cols[index]]] = index + 1
            # Sort rows by their first cell, which is enough: it differs from row to row.
            for band in range(bands):
                for slot in range(row_band):
                    row = band * row_band + slot
                    at = row
                    while (
                        at > band * row_band
                        and label[grid[order[at - 1], cols[0]]] > label[grid[row, cols[0]]]
                    ):
                        order[at] = order[at - 1]
                        at -= 1
                    order[at] = row
            for band in range(1, bands):
                at = band
                while (
                    at > 0
                    and label[grid[order[(at - 1) * row_band], cols[0]]]
                    > label[grid[order[at * row_band], cols[0]]]
                ):
                    for slot in range(row_band):
                        upper, lower = (at - 1) * row_band + slot, at * row_band + slot
                        order[upper], order[lower] = order[lower], order[upper]
                    at -= 1
            smaller = False
            for row in range(1, side):
                for index in range(side):
                    digit = label[grid[order[row], cols[index]]]
                    if not smaller:
                        if digit > best[row, index]:
                            break
                        smaller = digit < best[row, index]
                    image[row, index] = digit
                else:
                    continue
                break
            if smaller:
                best[1:] = image[1:]


def canonical_grid(grid: Digits, shape: Shape) -> Digits:
    """The least image [C] of a full grid [C]: equal for two grids exactly when they are images.

    About 2 ms at 9x9 with 3x3 boxes. Boxes of one row or column multiply the column orders (9! for
    1x9) and take up to a second.
    """
    side = shape.side
    square = grid.reshape(side, side)
    best = np.full((side, side), side + 1, dtype=np.uint8)
    best[0] = np.arange(1, side + 1)
    _canonical(square, shape.box_rows, block_orders(side, shape.box_cols), best)
    if shape.transposable:
        _canonical(np.ascontiguousarray(square.T), shape.box_rows, block_orders(side, shape.box_cols), best)
    return best.reshape(-1)


def shared_classes(splits: Iterable[Digits], shape: Shape) -> int:
    """How many symmetry classes of solution grids stand in more than one of the splits ([N, C] each).

    Exact: keys find the candidates, canonical forms decide.
    """
    grids = [np.unique(split, axis=0) for split in splits if len(split)]
    if len(grids) < 2:
        return 0
    keys = [puzzle_keys(split, split, shape) for split in grids]
    values, splits_with = np.unique(np.concatenate([np.unique(k) for k in keys]), return_counts=True)
    suspects = values[splits_with > 1]
    seen_in: dict[bytes, set[int]] = {}
    for index, (split, split_keys) in enumerate(zip(grids, keys, strict=True)):
        for grid in split[np.isin(split_keys, suspects)]:
            seen_in.setdefault(canonical_grid(grid, shape).tobytes(), set()).add(index)
    return sum(len(found) > 1 for found in seen_in.values())
