"""A board: its shape, its text form, its tokens, and the rules that need no search.

Digits are uint8 arrays of C cells, row by row: 0 is a blank, 1..side a digit. Tokens are what a
model sees, in the public encoding (sapientinc/HRM): 0 pad, 1 blank, digit d as d + 1.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from trm_scaling.errors import UserError

Digits = NDArray[np.uint8]
Tokens = NDArray[np.uint8]

PAD_TOKEN = 0
BLANK_TOKEN = 1
MAX_SIDE = 9
BLANKS = ".0*_-?"
"""Characters that people write for a blank cell."""
_TO_ZERO = str.maketrans(dict.fromkeys(BLANKS, "0"))


@dataclass(frozen=True)
class Shape:
    """The shape of a board: boxes of `box_rows` x `box_cols` cells, side = their product."""

    box_rows: int
    box_cols: int

    @property
    def side(self) -> int:
        """Cells along one edge, and the number of digits."""
        return self.box_rows * self.box_cols

    @property
    def cells(self) -> int:
        """Cells of the board (C)."""
        return self.side**2

    @property
    def vocab_size(self) -> int:
        """Tokens: pad, blank and the digits."""
        return self.side + 2

    @property
    def transposable(self) -> bool:
        """Whether the transposed board obeys the same rules: only where boxes are square."""
        return self.box_rows == self.box_cols

    def __str__(self) -> str:
        return f"{self.side}x{self.side} board ({self.box_rows}x{self.box_cols} boxes)"


@cache
def units_of(shape: Shape) -> NDArray[np.int64]:
    """The cells of every row, column and box, [3 * side, side], in that order. Read-only."""
    side = shape.side
    grid = np.arange(shape.cells).reshape(side, side)
    boxes = grid.reshape(side // shape.box_rows, shape.box_rows, side // shape.box_cols, shape.box_cols)
    units = np.concatenate([grid, grid.T, boxes.transpose(0, 2, 1, 3).reshape(side, side)])
    units.setflags(write=False)
    return units


def parse_box(text: str) -> Shape:
    """Read a box shape such as `2x3` (rows x columns).

    Raises:
        UserError: it is not two numbers, or the board would not have a side of 2 to 9.
    """
    rows, separator, cols = text.lower().partition("x")
    if not separator or not (rows.isdecimal() and cols.isdecimal()):
        raise UserError(f"--box {text!r} is no box shape; write rows x columns of one box, such as 2x3")
    shape = Shape(int(rows), int(cols))
    if not 2 <= shape.side <= MAX_SIDE:
        raise UserError(
            f"--box {text} makes a board of side {shape.side}; sides 2 to {MAX_SIDE} are supported "
            "(2x2 is 4x4 Sudoku, 2x3 is 6x6, 3x3 is the usual 9x9)"
        )
    return shape


def parse_digits(text: str, shape: Shape, where: str) -> Digits:
    """Read a board written as one character a cell, row by row; each of `BLANKS` is a blank.

    Args:
        text: the characters, without white space around them.
        where: what the text is, to begin an error with ("the puzzle", "data.csv, line 7, answer").

    Raises:
        UserError: wrong length, or a character that is neither a digit of this board nor a blank.
    """
    if len(text) != shape.cells:
        raise UserError(
            f"{where}: {len(text)} characters where a {shape} has {shape.cells} cells; "
            f"write one character a cell, row by row, 1-{shape.side} for a digit and . or 0 for a blank"
        )
    codes = np.frombuffer(text.translate(_TO_ZERO).encode("ascii", "replace"), dtype=np.uint8)
    digits = codes - np.uint8(ord("0"))  # wraps below '0', so one comparison finds every stranger
    strangers = np.flatnonzero(digits > shape.side)
    if strangers.size:
        cell = int(strangers[0])
        raise UserError(
            f"{where}: {text[cell]!r} at character {cell + 1} ({cell_name(cell, shape)}) is no cell of a "
            f"{shape}; use 1-{shape.side} for a digit and . or 0 for a blank"
        )
    return digits


def check_rules(digits: Digits, shape: Shape, where: str) -> None:
    """Refuse a board on which a digit stands twice in one row, column or box.

    Raises:
        UserError: naming the digit, the row, column or box, and both cells.
    """
    for index, unit in enumerate(units_of(shape)):
        filled = unit[digits[unit] > 0]
        values, counts = np.unique(digits[filled], return_counts=True)
        if (counts > 1).any():
            digit = int(values[counts > 1][0])
            first, second = filled[digits[filled] == digit][:2]
            kind = ("row", "column", "box")[index // shape.side]
            raise UserError(
                f"{where}: digit {digit} stands twice in {kind} {index % shape.side + 1} "
                f"({cell_name(int(first), shape)} and {cell_name(int(second), shape)}); correct one of them"
            )


def cell_name(cell: int, shape: Shape) -> str:
    """Where a cell is, as a person counts."""
    return f"row {cell // shape.side + 1} column {cell % shape.side + 1}"


def digits_to_tokens(digits: Digits) -> Tokens:
    """Blank 0 becomes token 1, digit d token d + 1."""
    return digits + np.uint8(1)


def tokens_to_digits(tokens: Tokens) -> Digits:
    """The inverse of `digits_to_tokens`; a pad (0), which no board holds, reads as a blank."""
    return np.maximum(tokens, np.uint8(1)) - np.uint8(1)


def to_text(digits: Digits) -> str:
    """One character a cell, `.` for a blank."""
    return "".join("." if digit == 0 else str(int(digit)) for digit in digits)


def render(digits: Digits, shape: Shape) -> str:
    """A board as lines of text, boxes set apart, ready to print."""
    side, cols = shape.side, shape.box_cols
    symbols = np.array(list(to_text(digits))).reshape(side, side)
    rule = "-+-".join("-" * (2 * cols - 1) for _ in range(0, side, cols))
    lines: list[str] = []
    for row, line in enumerate(symbols):
        if row and row % shape.box_rows == 0:
            lines.append(rule)
        lines.append(" | ".join(" ".join(line[start : start + cols]) for start in range(0, side, cols)))
    return "\n".join(lines)
