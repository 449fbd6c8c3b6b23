"""Boards on the terminal: which puzzle, and a frame for each supervision step."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import randrange
from typing import TYPE_CHECKING

import typer

from trm_scaling.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from trm_scaling.config import DataConfig
    from trm_scaling.puzzles.dataset import Dataset
    from trm_scaling.puzzles.sudoku.board import Shape
    from trm_scaling.train.think import Thoughts

FIRST = 100
"""Held-out puzzles among which the hardest is shown when none was asked for."""

MOST_NEW = 100_000
"""New puzzles that have a name."""


@dataclass(frozen=True)
class Chosen:
    """A puzzle with its only solution, both (C,) uint8 tokens."""

    title: str
    shape: "Shape"
    inputs: "np.ndarray"
    labels: "np.ndarray"


def choose_puzzle(text: str | None, data: "DataConfig", data_root: Path | None) -> Chosen:
    """The puzzle that `text` writes out, or names as `test:N` or `new:N`.

    None: a hard held-out one; a new one where there is no `data_root` (folder of datasets) to hold any.
    Raises UserError for a board that is malformed, unsolvable or ambiguous, and for a number
    beyond the split.
    """
    from trm_scaling.puzzles.build import ensure_dataset
    from trm_scaling.puzzles.sudoku.board import Shape, check_rules, digits_to_tokens, parse_digits
    from trm_scaling.puzzles.sudoku.search import solve

    if text is None and data_root is None:
        text = f"new:{randrange(MOST_NEW)}"
    if text is not None and text.startswith("new:"):
        return _new(text, data)
    if text is None or text.startswith("test:"):
        if data_root is None:
            raise UserError(f"{text} is a puzzle that a run held out, and a model file has none: write new:0")
        return _held_out(text, ensure_dataset(data, data_root))
    shape = Shape(data.box_rows, data.box_cols)
    digits = parse_digits("".join(text.split()), shape, "the puzzle")
    check_rules(digits, shape, "the puzzle")
    answer = solve(digits, shape)
    return Chosen("your puzzle", shape, digits_to_tokens(digits), digits_to_tokens(answer.solution))


def _new(text: str, data: "DataConfig") -> Chosen:
    from trm_scaling.puzzles.sudoku.board import Shape, digits_to_tokens
    from trm_scaling.puzzles.sudoku.fresh import fresh_puzzle

    number = text.removeprefix("new:")
    if not number.isdecimal() or int(number) >= MOST_NEW:
        raise UserError(f"{text!r} is no new puzzle: write new:0 to new:{MOST_NEW - 1}")
    made = fresh_puzzle(data, int(number))
    inputs, labels = digits_to_tokens(made.puzzle), digits_to_tokens(made.solution)
    shape = Shape(data.box_rows, data.box_cols)
    return Chosen(f"new puzzle {text}, {_guesses(made.rating)}", shape, inputs, labels)


def _guesses(rating: int) -> str:
    return f"{rating} guess{'' if rating == 1 else 'es'} for a simple solver"


def _held_out(text: str | None, dataset: "Dataset") -> Chosen:
    test = dataset.test
    if text is None:
        row = 0 if test.ratings is None else int(test.ratings[:FIRST].argmax())
    else:
        number = text.removeprefix("test:")
        if not number.isdecimal() or int(number) >= len(test):
            raise UserError(f"{text!r} is no held-out puzzle: write test:0 to test:{len(test) - 1}")
        row = int(number)
    rating = "" if test.ratings is None else f", {_guesses(int(test.ratings[row]))}"
    return Chosen(f"held-out puzzle test:{row}{rating}", dataset.shape, test.inputs[row], test.labels[row])


def frames(chosen: Chosen, thoughts: "Thoughts") -> Iterator[str]:
    """The puzzle, then the board after each step that changed it."""
    labels, shape = chosen.labels, chosen.shape
    yield _board(chosen, chosen.inputs, None) + f"\n{(chosen.inputs > 1).sum()} of {shape.cells} cells given"
    before, quiet = chosen.inputs, 0
    for number, (board, belief) in enumerate(
        zip(thoughts.predictions, thoughts.halt_probability, strict=True), start=1
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
        last = len(thoughts.predictions)
        yield f"\n{_unchanged(last - quiet + 1, last)}"


def _unchanged(first: int, last: int) -> str:
    steps = f"step {first} changes" if first == last else f"steps {first} to {last} change"
    return f"supervision {steps} nothing"


def _board(chosen: Chosen, tokens: "np.ndarray", before: "np.ndarray | None") -> str:
    """Givens that stand plain, right answers green, wrong ones red; new since the last board in bold."""
    from trm_scaling.puzzles.sudoku.board import render, tokens_to_digits

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
