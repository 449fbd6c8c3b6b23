"""The thinking as an animated GIF: a frame for the puzzle and one for each supervision step."""

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from trm_scaling.tasks.choose import Chosen

CELL, MARGIN, CAPTION = 52, 28, 44
"""Pixels."""
FIRST_MS, STEP_MS, LAST_MS = 1200, 900, 3000
"""How long the puzzle, a step's board and the last board stand, in milliseconds."""


def gif(chosen: "Chosen", boards: "list[tuple[str, np.ndarray]]") -> bytes:
    """An endless GIF of `boards`, each a caption and (C,) tokens; what a step changed is shaded."""
    before = [chosen.inputs, *(board for _, board in boards)]
    frames = [
        _frame(chosen, caption, board, last)
        for (caption, board), last in zip(boards, before[: len(boards)], strict=True)
    ]
    times = [FIRST_MS, *[STEP_MS] * (len(frames) - 1)]
    times[-1] = LAST_MS
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return file.getvalue()


def _frame(chosen: "Chosen", caption: str, board: "np.ndarray", before: "np.ndarray") -> "Image":
    from PIL import Image, ImageDraw, ImageFont

    from trm_scaling.cli.picture import CHANGED, GIVEN, LINE, PAPER, RIGHT, WRONG

    shape, size = chosen.shape, CELL * chosen.shape.side
    image = Image.new("RGB", (size + 2 * MARGIN, size + MARGIN + CAPTION), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, CAPTION / 2), caption, GIVEN, ImageFont.load_default(18), anchor="lm")
    digits = ImageFont.load_default(28)
    for cell, token in enumerate(board):
        row, column = divmod(cell, shape.side)
        left, top = MARGIN + column * CELL, CAPTION + row * CELL
        if token != before[cell]:
            draw.rectangle((left, top, left + CELL, top + CELL), CHANGED)
        if token < 2:
            continue
        given, right = token == chosen.inputs[cell], token == chosen.labels[cell]
        centre = (left + CELL / 2, top + CELL / 2)
        color = GIVEN if given else RIGHT if right else WRONG
        draw.text(centre, str(token - 1), color, digits, anchor="mm")
        if given:
            # The built-in font has no bold: a second impression, a pixel beside the first.
            draw.text((centre[0] + 1, centre[1]), str(token - 1), color, digits, anchor="mm")
        if not right:
            draw.line((centre[0] - 11, centre[1], centre[0] + 11, centre[1]), color, 3)
    for line in range(shape.side + 1):
        across, down = (1 if line % block else 3 for block in (shape.box_rows, shape.box_cols))
        at = line * CELL
        draw.line((MARGIN, CAPTION + at, MARGIN + size, CAPTION + at), LINE, across)
        draw.line((MARGIN + at, CAPTION, MARGIN + at, CAPTION + size), LINE, down)
    return image
