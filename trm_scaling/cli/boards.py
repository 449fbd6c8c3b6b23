"""Boards on the terminal: a frame for each supervision step."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import numpy as np

    from trm_scaling.evaluation.trace import Trace
    from trm_scaling.tasks.choose import Chosen


def frames(chosen: "Chosen", trace: "Trace") -> Iterator[str]:
    """The puzzle, then the board after each step that changed it."""
    labels, shape = chosen.labels, chosen.shape
    yield _board(chosen, chosen.inputs, None) + f"\n{(chosen.inputs > 1).sum()} of {shape.cells} cells given"
    before, quiet = chosen.inputs, 0
    for number, (board, belief) in enumerate(
        zip(trace.predictions, trace.halt_probability, strict=True), start=1
    ):
        wrong, changed = int((board != labels).sum()), int((board != before).sum())
        if changed == 0:
            quiet += 1
            continue
        if quiet:
            yield f"\n{_unchanged(number - quiet, number - 1)}"
        state = "solved" if wrong == 0 else f"{wrong} wrong"
        title = f"after supervision step {number}: {state}, {changed} changed, believes {belief:.0%}"
        yield f"\n{title}\n{_board(chosen, board, before)}"
        before, quiet = board, 0
    if quiet:
        last = len(trace.predictions)
        yield f"\n{_unchanged(last - quiet + 1, last)}"


def _unchanged(first: int, last: int) -> str:
    steps = f"step {first} changes" if first == last else f"steps {first} to {last} change"
    return f"supervision {steps} nothing"


def _board(chosen: "Chosen", tokens: "np.ndarray", before: "np.ndarray | None") -> str:
    """Givens that stand plain, right answers green, wrong ones red; new since the last board in bold."""
    from trm_scaling.tasks.sudoku.board import render, tokens_to_digits

    cells = iter(range(chosen.shape.cells))
    drawn = []
    for character in render(tokens_to_digits(tokens), chosen.shape):
        if not (character.isdigit() or character == "."):
            drawn.append(character)
            continue
        cell = next(cells)
        if before is None or tokens[cell] == chosen.inputs[cell]:
            drawn.append(character)
        else:
            color = "green" if tokens[cell] == chosen.labels[cell] else "red"
            drawn.append(typer.style(character, fg=color, bold=bool(tokens[cell] != before[cell])))
    return "".join(drawn)
