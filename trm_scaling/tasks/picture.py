"""How puzzles are drawn, as parts of an SVG document and on an image. The default paints each token in a
colour.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8
    from PIL.ImageDraw import ImageDraw

GIVEN, RIGHT, WRONG, LINE, PAPER = "#1f2933", "#0b7a53", "#c2410c", "#52606d", "#ffffff"
"""Green-blue and orange stay apart for colour-blind eyes; wrong answers are struck through besides."""
CHANGED = "#fdf3d7"
"""Behind what a step changed, where boards follow one another."""

_TOKENS = ("#ffffff", "#e5e9ee", "#1f2933", "#0b7a53", "#c2410c", "#2563eb", "#b45309", "#7c3aed", "#be185d")
"""Colours of tokens 0, 1, ...; those beyond begin anew."""


class Picture:
    """Draws a grid of `rows` x `cols` cells, whose sides are `cell` units of an SVG and `pixels` of an
    image.
    """

    def __init__(self, grid: tuple[int, int], cell: int = 26, pixels: int = 52) -> None:
        self.rows, self.cols = grid
        self.cell, self.pixels = cell, pixels

    def svg(
        self,
        inputs: "UInt8[np.ndarray, ' C']",
        answer: "UInt8[np.ndarray, ' C']",
        labels: "UInt8[np.ndarray, ' C']",
        left: int,
        top: int,
    ) -> list[str]:
        """The elements of one grid with its top left corner at (left, top)."""
        parts = []
        for number, token in enumerate(answer.tolist()):
            row, col = divmod(number, self.cols)
            x, y = left + col * self.cell, top + row * self.cell
            edge = LINE if token == labels[number] or not labels[number] else WRONG
            parts.append(
                f'<rect x="{x}" y="{y}" width="{self.cell}" height="{self.cell}" '
                f'fill="{_TOKENS[token % len(_TOKENS)]}" stroke="{edge}"/>'
            )
        return parts

    def draw(
        self,
        image: "ImageDraw",
        inputs: "UInt8[np.ndarray, ' C']",
        answer: "UInt8[np.ndarray, ' C']",
        labels: "UInt8[np.ndarray, ' C']",
        before: "UInt8[np.ndarray, ' C']",
        left: int,
        top: int,
    ) -> None:
        """Draw one grid with its top left corner at (left, top); what differs from `before` is marked."""
        for number, token in enumerate(answer.tolist()):
            row, col = divmod(number, self.cols)
            x, y = left + col * self.pixels, top + row * self.pixels
            changed = token != before[number]
            image.rectangle(
                (x, y, x + self.pixels, y + self.pixels),
                _TOKENS[token % len(_TOKENS)],
                WRONG if changed else LINE,
                3 if changed else 1,
            )
