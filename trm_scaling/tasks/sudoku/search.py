"""The solver: constraint propagation and exhaustive depth-first search on bit masks.

A cell's candidates are a bit mask (bit d - 1 for digit d). Propagation places naked singles (a
cell with one candidate) and hidden singles (a digit with one place in a row, column or box).
Where that is not enough the search branches on the most constrained cell, first in reading order.

The rating of a puzzle is the number of guesses (trial placements) this solver makes until it has
proven the solution to be the only one. Because every branch is tried, the rating does not depend
on the order of digits; 0 means that singles alone solve it. Public files carry ratings of other
solvers, which are kept as they are: compare ratings within one source only.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.tasks.sudoku.board import Digits, Shape, cell_name, check_rules, units_of
from trm_scaling.tasks.sudoku.kernels import search, search_many


@dataclass(frozen=True)
class Solved:
    """The only solution of a puzzle and the guesses that proving it took."""

    solution: Digits
    rating: int


@cache
def peers_of(shape: Shape) -> NDArray[np.int64]:
    """The other cells that share a row, column or box with each cell, [C, P]. Read-only."""
    shares = np.zeros((shape.cells, shape.cells), dtype=bool)
    for unit in units_of(shape):
        shares[np.ix_(unit, unit)] = True
    np.fill_diagonal(shares, False)
    peers = np.nonzero(shares)[1].reshape(shape.cells, -1)
    peers.setflags(write=False)
    return peers


def solve_many(puzzles: Digits, shape: Shape) -> tuple[Digits, NDArray[np.int32], NDArray[np.int32]]:
    """Solve puzzles [N, C] that break no rule.

    Returns:
        a solution of each [N, C] (zeros where there is none), the solutions found (2 stands for two
        or more) [N], and the guesses made [N], which are the rating where exactly one was found.
    """
    solutions = np.zeros_like(puzzles)
    found = np.zeros(len(puzzles), dtype=np.int32)
    ratings = np.zeros(len(puzzles), dtype=np.int32)
    search_many(puzzles, solutions, found, ratings, peers_of(shape), units_of(shape))
    return solutions, found, ratings


def count_solutions(puzzle: Digits, shape: Shape, limit: int = 2) -> int:
    """How many solutions a puzzle [C] has, counting no further than `limit`."""
    found, _ = search(puzzle, -1, limit, np.zeros_like(puzzle), peers_of(shape), units_of(shape))
    return int(found)


def solve(puzzle: Digits, shape: Shape, where: str = "the puzzle") -> Solved:
    """The only solution of a puzzle [C].

    Raises:
        UserError: a digit is repeated, or there is no solution, or more than one.
    """
    check_rules(puzzle, shape, where)
    solutions, found, ratings = solve_many(puzzle[None], shape)
    if found[0] == 0:
        raise UserError(f"{where}: no solution, although no digit is repeated; check the givens")
    if found[0] > 1:
        first = np.zeros_like(puzzle)
        search(puzzle, -1, 1, first, peers_of(shape), units_of(shape))
        cell = int(np.flatnonzero(first != solutions[0])[0])
        low, high = sorted((int(first[cell]), int(solutions[0, cell])))
        raise UserError(
            f"{where}: more than one solution ({cell_name(cell, shape)} can be {low} or {high}); "
            "a puzzle here has exactly one, so add givens"
        )
    return Solved(solutions[0], int(ratings[0]))
