"""Which puzzle goes to which split, so that what is held out was never within reach of training.

No two splits share a puzzle's symmetry class (augmentation could carry one to the other), and for
generated puzzles no two splits share a solution grid. Ownership is by first claim; generation
serves the emptiest split first, so on a small board, whose classes are soon all claimed (minimal
4x4 puzzles have 36), every split gets its part of them. What is held out does not depend on how many
puzzles there are to train on, and fewer of these are the first of more: an experiment on the size
of the training set changes nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.tasks.folder import Progress
from trm_scaling.tasks.sudoku.board import Digits, Shape
from trm_scaling.tasks.sudoku.classes import puzzle_keys
from trm_scaling.tasks.sudoku.generate import Candidates, Wish, make_candidates

PATIENCE_SEARCHES = 1_000_000
"""Solver calls without one more usable puzzle after which generation gives up: seconds at 4x4, about
a minute at 9x9."""


TRAIN = "train"
"""The split whose size decides nothing about the others."""


@dataclass(frozen=True)
class Puzzles:
    """N puzzles with their only solutions (digits [N, C]) and ratings (guesses, [N] int32)."""

    puzzles: Digits
    solutions: Digits
    ratings: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.puzzles)

    def take(self, rows: slice | list[int] | NDArray[np.int64]) -> "Puzzles":
        """The puzzles in these rows, in their order."""
        return Puzzles(self.puzzles[rows], self.solutions[rows], self.ratings[rows])


def join(parts: Iterable[Puzzles], shape: Shape) -> Puzzles:
    """Puzzles one after another; none at all is a valid, empty set."""
    empty = np.empty((0, shape.cells), dtype=np.uint8)
    parts = [Puzzles(empty, empty, np.empty(0, dtype=np.int32)), *parts]
    return Puzzles(
        puzzles=np.concatenate([part.puzzles for part in parts]),
        solutions=np.concatenate([part.solutions for part in parts]),
        ratings=np.concatenate([part.ratings for part in parts]),
    )


@dataclass
class _Reached:
    """How near the wish the candidates came, for the message of a build that cannot be met."""

    candidates: int = 0
    fitting: int = 0
    fewest_givens: int = 2**31
    ratings: tuple[int, int] = (2**31, -1)

    def note(self, made: Candidates, index: int) -> None:
        self.candidates += 1
        self.fitting += bool(made.fits[index])
        self.fewest_givens = min(self.fewest_givens, int(made.givens[index]))
        rating = int(made.ratings[index])
        self.ratings = (min(self.ratings[0], rating), max(self.ratings[1], rating))


def generate_splits(
    shape: Shape, wish: Wish, sizes: dict[str, int], seed: int, progress: Progress
) -> dict[str, Puzzles]:
    """Generated puzzles for every split, all distinct, disjoint in grids and in classes.

    Raises:
        UserError: the wish cannot be met, or the board has too few puzzles for the sizes.
    """
    wanted = sum(sizes.values())
    chosen: dict[str, list[int]] = {split: [] for split in sizes}
    kept: list[Candidates] = []
    class_owner: dict[int, str] = {}
    grid_owner: dict[bytes, str] = {}
    taken: set[bytes] = set()
    offered = dict.fromkeys(sizes, 0)
    reached = _Reached()
    first, block, since_last = 0, 64, 0
    while sum(map(len, chosen.values())) < wanted:
        made = make_candidates(shape, wish, seed, first, block)
        keys = puzzle_keys(made.puzzles, made.solutions, shape).tolist()
        offset = sum(len(part.puzzles) for part in kept)
        kept.append(made)
        for index in range(block):
            reached.note(made, index)
            # A candidate that needed no digging still cost a grid.
            since_last += max(int(made.searches[index]), shape.cells)
            puzzle, grid = made.puzzles[index].tobytes(), made.solutions[index].tobytes()
            if not made.fits[index] or puzzle in taken:
                continue
            claimed = (class_owner.get(keys[index]), grid_owner.get(grid))
            owners = {owner for owner in claimed if owner is not None}
            if len(owners) > 1:
                continue
            split = owners.pop() if owners else _emptiest(offered, sizes)
            class_owner[keys[index]] = grid_owner[grid] = split
            offered[split] += 1
            if len(chosen[split]) >= sizes[split]:
                continue
            taken.add(puzzle)
            chosen[split].append(offset + index)
            since_last = 0
        first += block
        if since_last > PATIENCE_SEARCHES:
            raise _cannot(shape, wish, chosen, sizes, reached)
        done = sum(map(len, chosen.values()))
        progress("generating puzzles", min(done, wanted), wanted)
        # Enough for a quick build in a few calls, small enough for a moving bar when each is slow.
        spent = int(made.searches.sum())
        block = min(4096, max(8, block * 2 if spent < 50_000 else block // 2))
    everything = join((Puzzles(part.puzzles, part.solutions, part.ratings) for part in kept), shape)
    return {split: everything.take(rows) for split, rows in chosen.items()}


def _emptiest(offered: dict[str, int], sizes: dict[str, int]) -> str:
    """The split that has been offered the least of its share; training gets all once the others are full.

    The share of training is that of all others, whatever its size: see the module's docstring.
    """
    held_out = {split: size for split, size in sizes.items() if split != TRAIN}
    shares = {split: size for split, size in held_out.items() if offered[split] < size}
    shares[TRAIN] = max(1, sum(held_out.values()))
    return min(shares, key=lambda split: offered[split] / shares[split]) if len(shares) > 1 else TRAIN


def _cannot(
    shape: Shape, wish: Wish, chosen: dict[str, list[int]], sizes: dict[str, int], reached: _Reached
) -> UserError:
    have = ", ".join(f"{split} {len(chosen[split])} of {sizes[split]}" for split in sizes)
    low, high = reached.ratings
    return UserError(
        f"generation stopped with {have}: the last {PATIENCE_SEARCHES:,} solver calls gave no new "
        f"puzzle of a {shape} for the wish ({wish}). Of {reached.candidates:,} candidates "
        f"{reached.fitting:,} met it; fewest givens reached {reached.fewest_givens}, ratings {low}-{high}. "
        "Loosen the wish (givens, minimal, rating range), ask for fewer puzzles, or choose a larger board"
    )
