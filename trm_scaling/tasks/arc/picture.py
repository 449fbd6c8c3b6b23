"""ARC's answers as they stand in tokens, for the terminal, as SVG and on an image.

A cell that differs from the label is marked. What is no colour (end of the grid, padding) is left blank, and
within the label's grid it is marked too.
"""

from collections.abc import Iterable
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from trm_scaling.tasks.arc.render import PALETTE, RESET, beside, hex_colour
from trm_scaling.tasks.arc.tokens import FIRST_COLOUR, crop
from trm_scaling.tasks.picture import CHANGED, Picture

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

CELL, LEAST_PIXELS, IMAGE_PIXELS = 14, 12, 360
_EDGE = "#888888"
_BRIGHT = 380
"""Sum of red, green and blue from which on black is easier to read than white."""


def terminal(
    answer: UInt8[np.ndarray, " C"], labels: UInt8[np.ndarray, " C"] | None = None, color: bool = False
) -> str:
    """An answer, two columns a cell: digits, on their colours with `color`; `x` after wrong cells."""
    cells, wrong = _shown(answer, labels)
    rows, columns = _extent(cells, wrong)
    lines = []
    for line, faults in zip(cells[:rows, :columns].tolist(), wrong[:rows, :columns].tolist(), strict=True):
        parts = []
        for colour, fault in zip(line, faults, strict=True):
            mark = "x" if fault else " "
            if color and colour >= 0:
                red, green, blue = PALETTE[colour]
                ink = 30 if _is_bright(colour) else 97
                parts.append(f"\x1b[48;2;{red};{green};{blue}m\x1b[{ink}m{colour}{mark}{RESET}")
            else:
                parts.append(f"{colour if colour >= 0 else '.'}{mark}")
        lines.append("".join(parts))
    return "\n".join(lines) or "(no grid)"


def side_by_side(
    inputs: UInt8[np.ndarray, " C"], labels: UInt8[np.ndarray, " C"], color: bool = False
) -> str:
    """A puzzle and its answer, each under its title."""
    halves = (("input", inputs), ("output", labels))
    return beside([(title, terminal(tokens, color=color).splitlines()) for title, tokens in halves])


def largest(grids: Iterable[UInt8[np.ndarray, " C"]]) -> tuple[int, int]:
    """Rows and columns that hold each of the grids."""
    shapes = crop(np.stack(list(grids)))[1]
    rows, columns = shapes.max(axis=0).tolist()
    return max(rows, 1), max(columns, 1)


class GridPicture(Picture):
    """Draws squares of `side` cells, cut to `grid` rows and columns."""

    def __init__(self, side: int, grid: tuple[int, int]) -> None:
        super().__init__(grid, cell=CELL, pixels=max(LEAST_PIXELS, IMAGE_PIXELS // max(grid)))
        self._side = side

    def svg(
        self,
        inputs: UInt8[np.ndarray, " C"],
        answer: UInt8[np.ndarray, " C"],
        labels: UInt8[np.ndarray, " C"],
        left: int,
        top: int,
    ) -> list[str]:
        cells, wrong = (each[: self.rows, : self.cols] for each in _shown(answer, labels))
        parts = []
        for (row, col), cell in np.ndenumerate(cells):
            colour = int(cell)
            x, y = left + col * CELL, top + row * CELL
            if colour >= 0:
                parts.append(
                    f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="{hex_colour(colour)}" '
                    f'stroke="{_EDGE}" stroke-width="0.5"/>'
                )
            if wrong[row, col]:
                ink = _ink(colour)
                parts.append(
                    f'<path d="M{x + 4} {y + 4}l6 6m0 -6l-6 6" stroke="{ink}" stroke-width="2" fill="none"/>'
                )
        return parts

    def draw(
        self,
        image: "ImageDraw",
        inputs: UInt8[np.ndarray, " C"],
        answer: UInt8[np.ndarray, " C"],
        labels: UInt8[np.ndarray, " C"],
        before: UInt8[np.ndarray, " C"],
        left: int,
        top: int,
    ) -> None:
        cells, wrong = (each[: self.rows, : self.cols] for each in _shown(answer, labels))
        size, reach = self.pixels, self.pixels // 4
        changed = ((answer != before) & (labels > 0)).reshape(self._side, self._side)
        for (row, col), cell in np.ndenumerate(cells):
            colour = int(cell)
            x, y = left + col * size, top + row * size
            if colour >= 0:
                image.rectangle((x, y, x + size, y + size), hex_colour(colour), _EDGE)
            elif changed[row, col]:
                image.rectangle((x, y, x + size, y + size), CHANGED)
            if wrong[row, col]:
                x, y, ink = x + size // 2, y + size // 2, _ink(colour)
                image.line((x - reach, y - reach, x + reach, y + reach), ink, 2)
                image.line((x - reach, y + reach, x + reach, y - reach), ink, 2)


def _shown(
    answer: UInt8[np.ndarray, " C"], labels: UInt8[np.ndarray, " C"] | None
) -> tuple[np.ndarray, np.ndarray]:
    """(S, S) each: the colour of each cell, -1 where there is none; whether it is wrong."""
    side = isqrt(len(answer))
    cells = np.where(answer >= FIRST_COLOUR, answer.astype(np.int16) - FIRST_COLOUR, -1).reshape(side, side)
    if labels is None:
        return cells, np.zeros((side, side), dtype=bool)
    wanted = np.where(labels >= FIRST_COLOUR, labels.astype(np.int16) - FIRST_COLOUR, -1).reshape(side, side)
    # Beyond the label's border an answer's cells are not scored, and not part of its grid.
    scored = (labels > 0).reshape(side, side)
    return np.where(scored, cells, -1), scored & (cells != wanted)


def _extent(cells: np.ndarray, wrong: np.ndarray) -> tuple[int, int]:
    used = (cells >= 0) | wrong
    rows, columns = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    return (int(rows[-1]) + 1, int(columns[-1]) + 1) if rows.size else (0, 0)


def _is_bright(colour: int) -> bool:
    return sum(PALETTE[colour]) > _BRIGHT


def _ink(colour: int) -> str:
    """What a mark on a cell of `colour` (-1: no colour) is drawn in."""
    return _EDGE if colour < 0 else "#000000" if _is_bright(colour) else "#ffffff"
