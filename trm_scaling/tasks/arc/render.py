"""A task's grids for a reader: in a terminal with colours, and as SVG. Pure functions from grids to text."""

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from trm_scaling.tasks.arc.collection import ArcTask, Grid, Pair

PALETTE = (
    (0, 0, 0),
    (0, 116, 217),
    (255, 65, 54),
    (46, 204, 64),
    (255, 220, 0),
    (170, 170, 170),
    (240, 18, 190),
    (255, 133, 27),
    (127, 219, 255),
    (135, 12, 37),
)
"""Red, green and blue of the colours 0 to 9, as the public ARC viewers show them."""

RESET = "\x1b[0m"
_CODES = re.compile(r"\x1b\[[0-9;]*m")
_CELL = 12
"""Pixels of a cell in SVG."""

_GAP = 24


def terminal_grid(grid: Grid, *, colour: bool = True) -> list[str]:
    """A grid as lines of text, two columns a cell: coloured blocks, or digits without `colour`.

    A grid without cells, which is the answer of a prediction without a legal rectangle, is one line that
    says so.
    """
    if not grid.size:
        return ["(empty)"]
    if not colour:
        return [" ".join(map(str, row)) + " " for row in grid.tolist()]
    return ["".join(f"\x1b[48;2;{_rgb(c)}m  " for c in row) + RESET for row in grid.tolist()]


def terminal_row(grids: Sequence[tuple[str, Grid]], *, colour: bool = True) -> str:
    """Grids side by side, each under its title."""
    return beside([(title, terminal_grid(grid, colour=colour)) for title, grid in grids])


def beside(columns: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Lines of text side by side, each column under its title."""
    height = max(len(lines) for _, lines in columns)
    padded = []
    for title, lines in columns:
        column = [title, *lines, *[""] * (height - len(lines))]
        # Escape codes have no width on the screen.
        shown = [len(_CODES.sub("", line)) for line in column]
        padded.append([line + " " * (max(shown) - n) for line, n in zip(column, shown, strict=True)])
    return "\n".join("   ".join(parts).rstrip() for parts in zip(*padded, strict=True))


def terminal_task(task: ArcTask, *, colour: bool = True) -> str:
    """The pairs of a task that are trained on, then those that are held out, with their answers."""
    blocks = [
        terminal_row([(f"{name} input", pair.input), (f"{name} output", pair.output)], colour=colour)
        for name, pair in _named_pairs(task)
    ]
    return "\n\n".join([task.name, *blocks]) + "\n"


def svg_grids(rows: Sequence[Sequence[tuple[str, Grid]]]) -> str:
    """An SVG document: each row holds titled grids, from left to right."""
    parts: list[str] = []
    top, widest = _GAP, 0
    for row in rows:
        left, tallest = _GAP, 1
        for title, grid in row:
            height, width = grid.shape
            parts.append(f'<text x="{left}" y="{top - 6}">{escape(title)}</text>')
            parts += [
                f'<rect x="{left + x * _CELL}" y="{top + y * _CELL}" width="{_CELL}" height="{_CELL}" '
                f'fill="{hex_colour(colour)}"/>'
                for y, line in enumerate(grid.tolist())
                for x, colour in enumerate(line)
            ]
            # A title is wider than a narrow grid: about 6.5 pixels a letter at this size.
            left += max(width * _CELL, round(6.5 * len(title))) + _GAP
            tallest = max(tallest, height)
        widest = max(widest, left)
        top += tallest * _CELL + 2 * _GAP
    texts, cells = ("".join(part for part in parts if part.startswith(kind)) for kind in ("<text", "<rect"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{widest}" height="{top - _GAP}" '
        f'font-family="sans-serif" font-size="12" stroke="#555" stroke-width="0.5">'
        f'<rect width="100%" height="100%" fill="#fff" stroke="none"/>'
        f'<g stroke="none" fill="#222">{texts}</g>{cells}</svg>\n'
    )


def svg_task(task: ArcTask) -> str:
    """The demonstrations of a task, then its test pairs with their answers, as an SVG document."""
    return svg_grids(
        [
            [(f"{name} input", pair.input), (f"{name} output", pair.output)]
            for name, pair in _named_pairs(task)
        ]
    )


def _named_pairs(task: ArcTask) -> list[tuple[str, Pair]]:
    demonstrations = [pair for pair in task.pairs if pair.split == "train"]
    tests = [pair for pair in task.pairs if pair.split != "train"]
    return [
        (f"{name} {number}", pair)
        for name, pairs in (("example", demonstrations), ("test", tests))
        for number, pair in enumerate(pairs, start=1)
    ]


def hex_colour(colour: int) -> str:
    """One of the colours 0 to 9 as SVG and Pillow write it."""
    return "#" + "".join(f"{part:02x}" for part in PALETTE[colour])


def _rgb(colour: int) -> str:
    return ";".join(map(str, PALETTE[colour]))
