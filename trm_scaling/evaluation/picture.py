"""The trace of one puzzle as a picture: the puzzle, then its answer after each supervision step.

As SVG they stand side by side, as GIF they follow one another. The task draws each of them.
"""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from trm_scaling.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from trm_scaling.evaluation.trace import Trace
    from trm_scaling.tasks.task import Chosen

    Board = tuple[str, np.ndarray, np.ndarray, np.ndarray]
    """Caption, puzzle, answer, label."""

GAP, CAPTION, NARROWEST = 28, 44, 120
"""Units of the SVG: between grids, above each, and the least width of one with its caption."""
MARGIN = 28
"""Pixels around a grid of the GIF; its caption takes `CAPTION`."""
FIRST_MS, STEP_MS, LAST_MS = 1200, 900, 3000
"""How long the puzzle, a step's answer and the last answer stand, in milliseconds."""


def check_name(path: Path) -> None:
    """Raises UserError when the ending of `path` is of no picture that can be written."""
    if path.suffix not in (".svg", ".gif"):
        raise UserError(f"{path}: a picture's name ends in .svg, or in .gif for one that moves")


def save_picture(path: Path, chosen: "Chosen", trace: "Trace") -> None:
    """Write the picture to `path`, up to the first answer that stays right.

    Raises UserError when its name says no kind of picture, or the file cannot be written.
    """
    from trm_scaling.io.atomic import write_bytes, write_text

    check_name(path)
    if path.suffix == ".gif":
        write_bytes(path, gif(chosen, trace))
    else:
        write_text(path, svg(chosen, trace))


def _boards(chosen: "Chosen", trace: "Trace") -> "list[Board]":
    inputs, labels = chosen.inputs, chosen.labels
    boards: list[Board] = []
    for number, (asked, answered) in enumerate(chosen.demonstrations, start=1):
        boards.append((f"example {number}", asked, asked, asked))
        boards.append((f"its answer {number}", asked, answered, answered))
    boards.append(("the puzzle", inputs, inputs, inputs if chosen.demonstrations else labels))
    right = chosen.task.right(inputs, trace.predictions, labels)
    for number, answer in enumerate(trace.predictions, start=1):
        wrong = int(((answer != labels) & (labels > 0)).sum())
        verdict = "solved" if right[number - 1] else f"{wrong} wrong"
        boards.append((f"step {number}: {verdict}", inputs, answer, labels))
        if right[number - 1 :].all():
            break
    return boards


def svg(chosen: "Chosen", trace: "Trace") -> str:
    """The answers side by side, up to the first that stays right."""
    from trm_scaling.tasks.picture import GIVEN, PAPER

    boards, picture = _boards(chosen, trace), chosen.task.picture_of(chosen)
    steps = sum(caption.startswith("step ") for caption, *_ in boards)
    step = max(picture.cell * picture.cols, NARROWEST) + GAP
    width, height = GAP + step * len(boards), picture.cell * picture.rows + CAPTION + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" font-family="ui-monospace, Menlo, Consolas, monospace">',
        f"<title>{escape(chosen.title)}: {steps} supervision steps</title>",
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
    ]
    for index, (caption, inputs, answer, labels) in enumerate(boards):
        left = GAP + index * step
        parts.append(f'<text x="{left}" y="24" font-size="12" fill="{GIVEN}">{escape(caption)}</text>')
        parts += picture.svg(inputs, answer, labels, left, CAPTION)
    return "\n".join([*parts, "</svg>", ""])


def gif(chosen: "Chosen", trace: "Trace") -> bytes:
    """An endless GIF: a frame for the puzzle and one for each answer; what a step changed is shaded."""
    boards = _boards(chosen, trace)
    # What a step changed is marked, and a demonstration changes nothing.
    before = [boards[0][2], *(board[2] for board in boards[:-1])]
    before = [board[2] if board[3] is board[2] else last for board, last in zip(boards, before, strict=True)]
    frames = [_frame(chosen, board, last) for board, last in zip(boards, before, strict=True)]
    times = [FIRST_MS, *[STEP_MS] * (len(frames) - 1)]
    times[-1] = LAST_MS
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return file.getvalue()


def _frame(chosen: "Chosen", board: "Board", before: "np.ndarray") -> "Image":
    from PIL import Image, ImageDraw, ImageFont

    from trm_scaling.tasks.picture import GIVEN, PAPER

    picture, (caption, inputs, answer, labels) = chosen.task.picture_of(chosen), board
    width, height = picture.pixels * picture.cols, picture.pixels * picture.rows
    image = Image.new("RGB", (width + 2 * MARGIN, height + MARGIN + CAPTION), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, CAPTION / 2), caption, GIVEN, ImageFont.load_default(18), anchor="lm")
    picture.draw(draw, inputs, answer, labels, before, MARGIN, CAPTION)
    return image
