"""The thinking as a picture: the puzzle, then a board for each supervision step.

As SVG they stand side by side, as GIF they follow one another.
"""

from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from trm_scaling.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from trm_scaling.evaluation.trace import Trace
    from trm_scaling.tasks.choose import Chosen

    Captioned = tuple[str, np.ndarray]

CELL = 26
GAP = 28
CAPTION = 44
GIVEN, RIGHT, WRONG, LINE, PAPER = "#1f2933", "#0b7a53", "#c2410c", "#52606d", "#ffffff"
"""Green-blue and orange stay apart for colour-blind eyes; wrong answers are struck through besides."""
CHANGED = "#fdf3d7"
"""Behind what a step changed, where boards follow one another."""


def check_name(path: Path) -> None:
    """Raises UserError when the ending of `path` is of no picture that can be written."""
    if path.suffix not in (".svg", ".gif"):
        raise UserError(f"{path}: a picture's name ends in .svg, or in .gif for one that moves")


def save_picture(path: Path, chosen: "Chosen", trace: "Trace") -> None:
    """Write the picture to `path`, up to the first board that stays solved.

    Raises UserError when its name says no kind of picture, or the file cannot be written.
    """
    from trm_scaling.cli.moving_picture import gif
    from trm_scaling.io.atomic import write_bytes, write_text

    check_name(path)
    if path.suffix == ".gif":
        write_bytes(path, gif(chosen, _boards(chosen, trace)))
    else:
        write_text(path, svg(chosen, trace))


def _boards(chosen: "Chosen", trace: "Trace") -> "list[Captioned]":
    boards = [("the puzzle", chosen.inputs)]
    for number, board in enumerate(trace.predictions, start=1):
        wrong = int((board != chosen.labels).sum())
        verdict = "solved" if wrong == 0 else f"{wrong} wrong"
        boards.append((f"step {number}: {verdict}", board))
        if (trace.predictions[number - 1 :] == chosen.labels).all():
            break
    return boards


def svg(chosen: "Chosen", trace: "Trace") -> str:
    """The boards side by side, up to the first that stays solved."""
    boards = _boards(chosen, trace)
    size = CELL * chosen.shape.side
    step = max(size, 120) + GAP
    width, height = GAP + step * len(boards), size + CAPTION + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" font-family="ui-monospace, Menlo, Consolas, monospace">',
        f"<title>{escape(chosen.title)}: {len(boards) - 1} supervision steps</title>",
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
    ]
    for index, (caption, board) in enumerate(boards):
        parts += _board(chosen, board, caption, GAP + index * step)
    return "\n".join([*parts, "</svg>", ""])


def _board(chosen: "Chosen", tokens: "np.ndarray", caption: str, left: int) -> list[str]:
    shape = chosen.shape
    size = CELL * shape.side
    parts = [f'<text x="{left}" y="24" font-size="12" fill="{GIVEN}">{escape(caption)}</text>']
    for line in range(shape.side + 1):
        at = line * CELL
        across, down = (0.6 if line % block else 1.8 for block in (shape.box_rows, shape.box_cols))
        parts.append(_line(left, CAPTION + at, left + size, CAPTION + at, across))
        parts.append(_line(left + at, CAPTION, left + at, CAPTION + size, down))
    for cell, token in enumerate(tokens):
        if token < 2:
            continue
        row, column = divmod(cell, shape.side)
        given, right = token == chosen.inputs[cell], token == chosen.labels[cell]
        style = (
            f'fill="{GIVEN}" font-weight="bold"'
            if given
            else f'fill="{RIGHT}"'
            if right
            else f'fill="{WRONG}" text-decoration="line-through"'
        )
        x, y = left + (column + 0.5) * CELL, CAPTION + (row + 0.5) * CELL + 5
        parts.append(f'<text x="{x}" y="{y}" font-size="15" text-anchor="middle" {style}>{token - 1}</text>')
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, width: float) -> str:
    return f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{LINE}" stroke-width="{width}"/>'
