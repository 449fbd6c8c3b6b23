"""The mazes of each split, and what keeps the splits apart.

No two mazes of a generated dataset are images of each other under the eight symmetries, in one split or in
two. Each split is drawn from a stream of its own, test first. So neither the number of training mazes nor
that of validation mazes changes the test split, and fewer training mazes are the first of more.
"""

from dataclasses import dataclass
from math import isqrt

import numpy as np
from jaxtyping import Int32, UInt8
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.tasks.folder import Progress, silent
from trm_scaling.tasks.grid_symmetry import NUM_SYMMETRIES, canonical_keys, transform_grid
from trm_scaling.tasks.manifest import SPLIT_NAMES, SplitName
from trm_scaling.tasks.maze.board import MIN_SIDE, Tokens, path_lengths
from trm_scaling.tasks.maze.generate import MAPS_PER_CANDIDATE, MazeWish, make_mazes

PATIENCE = 2000
"""Candidates in a row that are images of mazes taken before, after which generation gives up."""
_COST_OF_A_FAILURE = 100
"""A candidate that no wall map made counts as so many: 20 of them, a few seconds, are enough to give up."""
_BLOCK = 64

Splits = dict[SplitName, "MazeSplit"]


@dataclass(frozen=True, eq=False)
class MazeSplit:
    """N rows: tokens [N, C] of maze and label, and three numbers [N] of each row."""

    inputs: Tokens
    labels: Tokens
    puzzle_ids: NDArray[np.int32]
    """All 0: mazes share one puzzle identifier."""
    group: NDArray[np.int32]
    """Rows that are images of one maze have one number; groups are numbered in the order of the rows."""
    difficulty: NDArray[np.int32]
    """Moves on the shortest path (the public `rating`)."""

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def side(self) -> int:
        return isqrt(self.inputs.shape[1])

    @property
    def num_mazes(self) -> int:
        """Mazes, before augmentation."""
        return int(self.group[-1]) + 1 if len(self) else 0

    def take(self, rows: NDArray[np.int64] | slice) -> "MazeSplit":
        """The mazes of these rows, in their order. For a split without stored images."""
        return split_of(self.inputs[rows], self.labels[rows], self.difficulty[rows])


def split_of(
    inputs: UInt8[np.ndarray, "N C"],
    labels: UInt8[np.ndarray, "N C"],
    difficulty: Int32[np.ndarray, " N"] | None = None,
) -> MazeSplit:
    """A split in which every row is a maze of its own. Its difficulty is the drawn path's length unless
    given."""
    numbers = np.arange(len(inputs), dtype=np.int32)
    rated = path_lengths(labels) if difficulty is None else difficulty
    return MazeSplit(inputs, labels, np.zeros_like(numbers), numbers, rated)


def with_images(split: MazeSplit) -> MazeSplit:
    """Every maze followed by its seven other images, in the public builder's order; 8 rows a group."""
    side = split.side

    def images(tokens: Tokens) -> Tokens:
        grids = tokens.reshape(-1, side, side)
        every = [transform_grid(grids, symmetry) for symmetry in range(NUM_SYMMETRIES)]
        return np.stack(every, axis=1).reshape(-1, side * side)

    puzzle_ids, group, difficulty = (
        np.repeat(each, NUM_SYMMETRIES) for each in (split.puzzle_ids, split.group, split.difficulty)
    )
    return MazeSplit(images(split.inputs), images(split.labels), puzzle_ids, group, difficulty)


def originals(split: MazeSplit) -> MazeSplit:
    """The mazes of a split without their stored images: the first row of each group."""
    return split.take(np.flatnonzero(np.diff(split.group, prepend=-1)))


def class_keys(split: MazeSplit) -> list[bytes]:
    """For each row a key that exactly its images under the eight symmetries share."""
    return list(canonical_keys(split.inputs.reshape(-1, split.side, split.side)))


def shared_classes(splits: Splits) -> int:
    """Mazes that stand in more than one split, as they are or as an image."""
    found = [key for split in splits.values() for key in set(class_keys(split))]
    return len(found) - len(set(found))


def generate_splits(
    wish: MazeWish, sizes: dict[SplitName, int], seed: int, progress: Progress = silent
) -> Splits:
    """Generated mazes for every split, no two of them images of each other.

    Raises:
        UserError: the wish is met too rarely, or by fewer mazes than are wanted.
    """
    progress("compiling the generator", 0, 1)
    make_mazes(MazeWish(MIN_SIDE), 0, 0, 1)
    progress("compiling the generator", 1, 1)
    taken: set[bytes] = set()
    splits = {
        name: _generate(wish, sizes[name], seed, SPLIT_NAMES.index(name), taken, name, progress)
        for name in reversed(SPLIT_NAMES)
    }
    return {name: splits[name] for name in SPLIT_NAMES}


def _generate(
    wish: MazeWish, size: int, seed: int, stream: int, taken: set[bytes], name: str, progress: Progress
) -> MazeSplit:
    cells = wish.side**2
    inputs, labels = np.empty((2, size, cells), dtype=np.uint8)
    found, first, since_last, longest, failures = 0, 0, 0, 0, 0
    while found < size:
        made = make_mazes(wish, seed, first, min(_BLOCK, size), stream)
        first += len(made.inputs)
        longest = max(longest, int(made.longest.max()))
        candidates = split_of(made.inputs, made.labels)
        for row, key in enumerate(class_keys(candidates)):
            if made.moves[row] and key not in taken and found < size:
                taken.add(key)
                inputs[found], labels[found] = made.inputs[row], made.labels[row]
                found += 1
                since_last = 0
                continue
            failures += not made.moves[row]
            since_last += 1 if made.moves[row] else _COST_OF_A_FAILURE
        if found < size and since_last > PATIENCE:
            raise UserError(
                f"generation stopped with {found} of {size} {name} mazes ({wish}): of {first:,} candidates "
                f"{failures:,} found none in {MAPS_PER_CANDIDATE:,} wall maps each, and the last ones gave "
                f"nothing new; the farthest cells met were {longest} moves apart. Ask for shorter paths, "
                "another share of walls, a larger side, or fewer mazes"
            )
        progress(f"generating {name} mazes", found, size)
    return split_of(inputs, labels)
