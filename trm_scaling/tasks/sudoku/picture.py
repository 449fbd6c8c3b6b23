"""Boards of digits on the terminal, as SVG and on an image."""

import re
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from trm_scaling.tasks.picture import CHANGED, GIVEN, LINE, RIGHT, WRONG, Picture
from trm_scaling.tasks.sudoku.board import Shape, render, tokens_to_digits

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Board = UInt8[np.ndarray, " C"]


def terminal(
    shape: Shape,
    inputs: Board,
    answer: Board | None,
    labels: Board | None,
    before: Board | None,
    color: bool,
) -> str:
    """A board as lines of text: an x behind each wrong cell. With `color`, givens that stand plain, right
    answers green, wrong ones red; new in bold.
    """
    tokens = inputs if answer is None else answer
    text = render(tokens_to_digits(tokens), shape)
    if answer is None or labels is None:
        return text
    cells = iter(range(shape.cells))

    def drawn(found: re.Match[str]) -> str:
        cell, symbol, space = next(cells), found[1], found[2]
        right = tokens[cell] == labels[cell]
        mark, space = ("", space) if right else ("x", "")
        if color and not (right and tokens[cell] == inputs[cell]):
            bold = "1;" if before is not None and tokens[cell] != before[cell] else ""
            return f"\x1b[{bold}{32 if right else 31}m{symbol}{mark}\x1b[0m{space}"
        return f"{symbol}{mark}{space}"

    return re.sub(r"([\d.])( ?)", drawn, text)


class BoardPicture(Picture):
    """Draws digits between the lines of boxes: givens black, right answers green, wrong ones struck
    through.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__((shape.side, shape.side))
        self._shape = shape

    def svg(self, inputs: Board, answer: Board, labels: Board, left: int, top: int) -> list[str]:
        shape, cell = self._shape, self.cell
        size = cell * shape.side
        parts = []
        for line in range(shape.side + 1):
            at = line * cell
            across, down = (0.6 if line % block else 1.8 for block in (shape.box_rows, shape.box_cols))
            parts.append(_line(left, top + at, left + size, top + at, across))
            parts.append(_line(left + at, top, left + at, top + size, down))
        for number, token in enumerate(answer):
            if token < 2:
                continue
            row, column = divmod(number, shape.side)
            given, right = token == inputs[number], token == labels[number]
            style = (
                f'fill="{GIVEN}" font-weight="bold"'
                if given
                else f'fill="{RIGHT}"'
                if right
                else f'fill="{WRONG}" text-decoration="line-through"'
            )
            x, y = left + (column + 0.5) * cell, top + (row + 0.5) * cell + 5
            parts.append(
                f'<text x="{x}" y="{y}" font-size="15" text-anchor="middle" {style}>{token - 1}</text>'
            )
        return parts

    def draw(
        self,
        image: "ImageDraw",
        inputs: Board,
        answer: Board,
        labels: Board,
        before: Board,
        left: int,
        top: int,
    ) -> None:
        from PIL import ImageFont

        shape, cell = self._shape, self.pixels
        size = cell * shape.side
        digits = ImageFont.load_default(28)
        for number, token in enumerate(answer):
            row, column = divmod(number, shape.side)
            x, y = left + column * cell, top + row * cell
            if token != before[number]:
                image.rectangle((x, y, x + cell, y + cell), CHANGED)
            if token < 2:
                continue
            given, right = token == inputs[number], token == labels[number]
            centre = (x + cell / 2, y + cell / 2)
            color = GIVEN if given else RIGHT if right else WRONG
            image.text(centre, str(token - 1), color, digits, anchor="mm")
            if given:
                # The built-in font has no bold: a second impression, a pixel beside the first.
                image.text((centre[0] + 1, centre[1]), str(token - 1), color, digits, anchor="mm")
            if not right:
                image.line((centre[0] - 11, centre[1], centre[0] + 11, centre[1]), color, 3)
        for line in range(shape.side + 1):
            across, down = (1 if line % block else 3 for block in (shape.box_rows, shape.box_cols))
            at = line * cell
            image.line((left, top + at, left + size, top + at), LINE, across)
            image.line((left + at, top, left + at, top + size), LINE, down)


def _line(x1: int, y1: int, x2: int, y2: int, width: float) -> str:
    return f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{LINE}" stroke-width="{width}"/>'
