"""Puzzles from nothing: a random full grid, dug to uniqueness, then improved towards a wish.

Candidate number i is a function of (seed, i) alone, so a build gives the same puzzles however its
work is cut. Digging removes givens in random order while the solution stays the only one, so what
remains when nothing more can go is minimal. A candidate that misses the wish (too many givens, too
easy, too hard) is improved by hill climbing: put a few givens back, dig again, keep what is not
worse. That reaches 9x9 ratings in the hundreds, which plain digging practically never does.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.tasks.sudoku.board import Digits, Shape, units_of
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.tasks.sudoku.kernels import make_many
from trm_scaling.tasks.sudoku.search import peers_of

SEARCHES_PER_CANDIDATE = 30_000
"""Solver calls after which one candidate is given up: under a second at 9x9."""

_UNBOUNDED = 2**31 - 1


@dataclass(frozen=True)
class Wish:
    """What a generated puzzle must be. `givens` None: as few as digging leaves."""

    givens: int | None = None
    minimal: bool = False
    min_rating: int | None = None
    max_rating: int | None = None

    def __str__(self) -> str:
        parts = [
            f"givens={self.givens}" if self.givens is not None else "",
            "minimal" if self.minimal else "",
            f"rating >= {self.min_rating}" if self.min_rating is not None else "",
            f"rating <= {self.max_rating}" if self.max_rating is not None else "",
        ]
        return ", ".join(part for part in parts if part) or "any"


@dataclass(frozen=True)
class Candidates:
    """N consecutive candidates: digits [N, C], their ratings and givens [N], and what they cost."""

    puzzles: Digits
    solutions: Digits
    ratings: NDArray[np.int32]
    givens: NDArray[np.int32]
    fits: NDArray[np.bool_]
    """Whether the wish is met."""
    searches: NDArray[np.int64]
    """Solver calls spent on each."""


def make_candidates(shape: Shape, wish: Wish, seed: int, first: int, count: int) -> Candidates:
    """Candidates number `first` to `first + count - 1` of a seed, whether or not they meet the wish."""
    # One Philox draw per (seed, index) starts each candidate's own stream.
    states = np.array(
        [[np.random.Philox(key=[seed, index]).random_raw()] for index in range(first, first + count)],
        dtype=np.uint64,
    ).reshape(count, 1)
    puzzles = np.empty((count, shape.cells), dtype=np.uint8)
    made = Candidates(
        puzzles=puzzles,
        solutions=np.empty_like(puzzles),
        ratings=np.empty(count, dtype=np.int32),
        givens=np.empty(count, dtype=np.int32),
        fits=np.empty(count, dtype=np.bool_),
        searches=np.empty(count, dtype=np.int64),
    )
    make_many(
        states,
        -1 if wish.givens is None else wish.givens,
        wish.minimal,
        0 if wish.min_rating is None else wish.min_rating,
        _UNBOUNDED if wish.max_rating is None else wish.max_rating,
        SEARCHES_PER_CANDIDATE,
        peers_of(shape),
        units_of(shape),
        made.puzzles,
        made.solutions,
        made.ratings,
        made.givens,
        made.fits,
        made.searches,
    )
    return made


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
