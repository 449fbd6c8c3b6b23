"""A maze with an answer drawn in, for the terminal, as SVG and on an image. Functions of tokens alone.

Without a label, a path cell is right when it lies in a cell that is free in the maze. With one, it is right
when the label has it too. Any other change to the maze (a wall moved, S or G lost) is broken.
"""

from enum import IntEnum
from math import isqrt
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np
from jaxtyping import Integer, UInt8

from trm_scaling.tasks.maze.board import FREE, GOAL, PATH, START, WALL
from trm_scaling.tasks.picture import CHANGED, Picture

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw


class Mark(IntEnum):
    """What a cell of an answer shows."""

    FREE, WALL, START, GOAL, PATH, OFF_PATH, BROKEN = range(7)


_TEXT = {
    Mark.FREE: "  ",
    Mark.WALL: "██",
    Mark.START: "S ",
    Mark.GOAL: "G ",
    Mark.PATH: "• ",
    Mark.OFF_PATH: "x ",
    Mark.BROKEN: "? ",
}
_ANSI = {
    Mark.START: "1",
    Mark.GOAL: "1",
    Mark.PATH: "32",
    Mark.OFF_PATH: "31",
    Mark.BROKEN: "31",
}

CELL = 10
_WALLS, _PAPER, _RIGHT, _WRONG, _ENDS = "#1f2933", "#ffffff", "#0b7a53", "#c2410c", "#52606d"
"""Green-blue and orange stay apart for colour-blind eyes; wrong cells are crosses besides."""


def marks(
    inputs: UInt8[np.ndarray, " C"],
    answer: Integer[np.ndarray, " C"],
    label: UInt8[np.ndarray, " C"] | None = None,
) -> UInt8[np.ndarray, " C"]:
    """The `Mark` of each cell of an answer to a maze."""
    shown = np.full(inputs.shape, Mark.BROKEN, dtype=np.uint8)
    for token, mark in ((FREE, Mark.FREE), (WALL, Mark.WALL), (START, Mark.START), (GOAL, Mark.GOAL)):
        shown[(inputs == token) & (answer == token)] = mark
    on_path = (inputs == FREE) & (answer == PATH)
    shown[on_path] = Mark.PATH
    if label is not None:
        shown[on_path & (label != PATH)] = Mark.OFF_PATH
    return shown


def render(
    inputs: UInt8[np.ndarray, " C"],
    answer: Integer[np.ndarray, " C"] | None = None,
    label: UInt8[np.ndarray, " C"] | None = None,
    color: bool = False,
) -> str:
    """A maze for the terminal, two characters a cell, with a frame; `color` adds ANSI colours."""
    side = isqrt(len(inputs))
    shown = marks(inputs, inputs if answer is None else answer, label).reshape(side, side)
    lines = ["┌" + "──" * side + "┐"]
    for row in shown.tolist():
        cells = []
        for mark in row:
            text = _TEXT[Mark(mark)]
            cells.append(f"\x1b[{_ANSI[mark]}m{text}\x1b[0m" if color and mark in _ANSI else text)
        lines.append("│" + "".join(cells) + "│")
    return "\n".join([*lines, "└" + "──" * side + "┘"])


def svg(
    inputs: UInt8[np.ndarray, " C"],
    answer: Integer[np.ndarray, " C"] | None = None,
    label: UInt8[np.ndarray, " C"] | None = None,
    title: str = "maze",
) -> str:
    """A maze as an SVG document of `CELL` units a cell."""
    side = isqrt(len(inputs))
    size = (side + 2) * CELL
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size}" '
            f'height="{size}" role="img" font-family="ui-monospace, Menlo, Consolas, monospace">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{size}" height="{size}" fill="{_PAPER}"/>',
            *svg_parts(inputs, answer, label, CELL, CELL),
            "</svg>",
            "",
        ]
    )


def svg_parts(
    inputs: UInt8[np.ndarray, " C"],
    answer: Integer[np.ndarray, " C"] | None,
    label: UInt8[np.ndarray, " C"] | None,
    left: int,
    top: int,
) -> list[str]:
    """The elements of one maze with its top left corner at (left, top), to stand in a document of several."""
    side = isqrt(len(inputs))
    shown = marks(inputs, inputs if answer is None else answer, label).reshape(side, side)
    size, line = side * CELL, CELL * 0.4

    def centre(row: int, col: int) -> tuple[float, float]:
        return left + (col + 0.5) * CELL, top + (row + 0.5) * CELL

    walls = [
        f"M{left + first * CELL} {top + row * CELL}h{(last - first) * CELL}v{CELL}h{(first - last) * CELL}z"
        for row in range(side)
        for first, last in _runs(shown[row] == Mark.WALL)
    ]
    parts = [
        f'<path d="{"".join(walls)}" fill="{_WALLS}"/>',
        f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="{_WALLS}"/>',
    ]
    joined = np.isin(shown, (Mark.PATH, Mark.START, Mark.GOAL))
    links = []
    for row, col in np.argwhere(joined).tolist():
        x, y = centre(row, col)
        if shown[row, col] == Mark.PATH:
            links.append(f"M{x:g} {y:g}h0")
        for down, right in ((1, 0), (0, 1)):
            inside = row + down < side and col + right < side
            if inside and joined[row + down, col + right]:
                links.append(f"M{x:g} {y:g}l{right * CELL} {down * CELL}")
    if links:
        parts.append(
            f'<path d="{"".join(links)}" fill="none" stroke="{_RIGHT}" stroke-width="{line:g}" '
            'stroke-linecap="round"/>'
        )
    reach = CELL * 0.25
    arms = 2 * reach
    crosses = [
        f"M{x - reach:g} {y - reach:g}l{arms:g} {arms:g}m0 {-arms:g}l{-arms:g} {arms:g}"
        for x, y in (centre(*cell) for cell in np.argwhere(shown >= Mark.OFF_PATH).tolist())
    ]
    if crosses:
        parts.append(f'<path d="{"".join(crosses)}" fill="none" stroke="{_WRONG}" stroke-width="2"/>')
    for token, letter in ((START, "S"), (GOAL, "G")):
        x, y = centre(*divmod(int(np.argmax(inputs == token)), side))
        parts += [
            f'<circle cx="{x:g}" cy="{y:g}" r="{CELL * 0.48:g}" fill="{_ENDS}"/>',
            f'<text x="{x:g}" y="{y + CELL * 0.28:g}" text-anchor="middle" font-size="{CELL * 0.8:g}" '
            f'font-weight="bold" fill="{_PAPER}">{letter}</text>',
        ]
    return parts


def _runs(row: np.ndarray) -> list[tuple[int, int]]:
    """First and behind-last index of each stretch of true values."""
    edges = np.flatnonzero(np.diff(row.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


class MazePicture(Picture):
    """Draws mazes of `side` cells as `svg_parts` does; on an image, what a step changed is shaded."""

    def __init__(self, side: int) -> None:
        super().__init__((side, side), cell=CELL, pixels=max(12, 480 // side))

    def svg(
        self,
        inputs: UInt8[np.ndarray, " C"],
        answer: Integer[np.ndarray, " C"],
        labels: UInt8[np.ndarray, " C"],
        left: int,
        top: int,
    ) -> list[str]:
        return svg_parts(inputs, answer, labels, left, top)

    def draw(
        self,
        image: "ImageDraw",
        inputs: UInt8[np.ndarray, " C"],
        answer: Integer[np.ndarray, " C"],
        labels: UInt8[np.ndarray, " C"],
        before: Integer[np.ndarray, " C"],
        left: int,
        top: int,
    ) -> None:
        from PIL import ImageFont

        cell = self.pixels
        shown = marks(inputs, answer, labels).reshape(self.rows, self.cols)
        joined = np.isin(shown, (Mark.PATH, Mark.START, Mark.GOAL))
        changed = (answer != before).reshape(shown.shape)
        letters = ImageFont.load_default(max(8, cell // 2))
        for (row, col), mark in np.ndenumerate(shown):
            x, y = left + col * cell, top + row * cell
            if mark == Mark.WALL or changed[row, col]:
                image.rectangle((x, y, x + cell - 1, y + cell - 1), _WALLS if mark == Mark.WALL else CHANGED)
        reach, width = cell // 4, max(2, cell // 4)
        for row, col in np.argwhere(joined).tolist():
            x, y = left + col * cell + cell // 2, top + row * cell + cell // 2
            if shown[row, col] == Mark.PATH:
                image.ellipse((x - width // 2, y - width // 2, x + width // 2, y + width // 2), _RIGHT)
            for down, right in ((1, 0), (0, 1)):
                inside = row + down < self.rows and col + right < self.cols
                if inside and joined[row + down, col + right]:
                    image.line((x, y, x + right * cell, y + down * cell), _RIGHT, width)
        for row, col in np.argwhere(shown >= Mark.OFF_PATH).tolist():
            x, y = left + col * cell + cell // 2, top + row * cell + cell // 2
            image.line((x - reach, y - reach, x + reach, y + reach), _WRONG, 2)
            image.line((x - reach, y + reach, x + reach, y - reach), _WRONG, 2)
        for token, letter in ((START, "S"), (GOAL, "G")):
            row, col = divmod(int(np.argmax(inputs == token)), self.cols)
            x, y = left + col * cell + cell // 2, top + row * cell + cell // 2
            image.ellipse((x - cell // 2, y - cell // 2, x + cell // 2, y + cell // 2), _ENDS)
            image.text((x, y), letter, _PAPER, letters, anchor="mm")
        image.rectangle((left, top, left + self.cols * cell, top + self.rows * cell), outline=_WALLS)
