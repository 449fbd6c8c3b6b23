"""Single puzzles from nothing, of a dataset's kind and from no dataset's stream of random numbers."""

from typing import NamedTuple

import numpy as np

from trm_scaling.errors import UserError
from trm_scaling.tasks.sudoku.board import Digits, Shape
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.tasks.sudoku.generate import Wish, make_candidates

STREAM = 2**32
"""Added to a puzzle's number. Seeds of datasets lie below, so none draws the same candidates; on a small
board, equal puzzles can still come of different draws."""

MOST_CANDIDATES = 200


class Fresh(NamedTuple):
    """A puzzle and its only solution, digits (C,), and the guesses of the rating solver."""

    puzzle: Digits
    solution: Digits
    rating: int


def fresh_puzzle(data: SudokuData, number: int) -> Fresh:
    """Puzzle `number` (0 or more) of the size and wish (givens, ratings) of `data`, always the same one.

    Raises UserError when no candidate meets the wish.
    """
    shape = Shape(data.box_rows, data.box_cols)
    wish = Wish(data.givens, data.minimal, data.min_rating, data.max_rating)
    # Uncompiled, the generator's 64-bit arithmetic warns of the overflow that it counts on.
    with np.errstate(over="ignore"):
        for candidate in range(MOST_CANDIDATES):
            made = make_candidates(shape, wish, STREAM + number, candidate, 1)
            if made.fits[0]:
                return Fresh(made.puzzles[0], made.solutions[0], int(made.ratings[0]))
    raise UserError(
        f"no puzzle in {MOST_CANDIDATES} candidates of number {number} met the wish ({wish}) of a {shape}; "
        "write a puzzle out"
    )
