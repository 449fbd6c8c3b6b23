"""Which puzzle to look at: one that is written out, `new:N`, or `test:N` of a dataset."""

from dataclasses import dataclass
from pathlib import Path
from random import randrange

import numpy as np

from trm_scaling.config import DataConfig
from trm_scaling.errors import UserError
from trm_scaling.tasks.build import ensure_dataset
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tasks.sudoku.board import Shape, check_rules, digits_to_tokens, parse_digits
from trm_scaling.tasks.sudoku.fresh import fresh_puzzle
from trm_scaling.tasks.sudoku.search import solve

FIRST = 100
"""Held-out puzzles among which the hardest is shown when none was asked for."""

MOST_NEW = 100_000
"""New puzzles that have a name."""


@dataclass(frozen=True)
class Chosen:
    """A puzzle with its only solution, both (C,) uint8 tokens."""

    title: str
    shape: Shape
    inputs: np.ndarray
    labels: np.ndarray


def choose_puzzle(text: str | None, data: DataConfig, data_root: Path | None) -> Chosen:
    """The puzzle that `text` writes out, or names as `test:N` or `new:N`.

    None: a hard held-out one; a new one where there is no `data_root` (folder of datasets) to hold any.
    Raises UserError for a board that is malformed, unsolvable or ambiguous, and for a number
    beyond the split.
    """
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


def _new(text: str, data: DataConfig) -> Chosen:
    number = text.removeprefix("new:")
    if not number.isdecimal() or int(number) >= MOST_NEW:
        raise UserError(f"{text!r} is no new puzzle: write new:0 to new:{MOST_NEW - 1}")
    made = fresh_puzzle(data, int(number))
    inputs, labels = digits_to_tokens(made.puzzle), digits_to_tokens(made.solution)
    shape = Shape(data.box_rows, data.box_cols)
    return Chosen(f"new puzzle {text}, {_guesses(made.rating)}", shape, inputs, labels)


def _guesses(rating: int) -> str:
    return f"{rating} guess{'' if rating == 1 else 'es'} for a simple solver"


def _held_out(text: str | None, dataset: Dataset) -> Chosen:
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
