"""Mazes from nothing, each with exactly one shortest path.

`random` mazes have walls in random cells, drawn as for Maze-Hard: long paths exist only near a wall share
of 0.4, where the free cells just still hang together (below it paths are direct, above it start and goal
are cut off). In a map of that kind two far cells nearly always have several shortest paths; walls are added
until one is left, the fewest that do it, about 15 in a 30x30 maze with a path of 111 moves. `perfect` mazes
are trees: a depth-first walk over every second cell, so any two cells are joined by one path. They are
harder for TRM and go by their own name.

Maze number i is a function of (seed, stream, i) alone, so a build gives the same mazes however its work is
cut.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trm_scaling.tasks.maze.board import Tokens
from trm_scaling.tasks.maze.kernels import make_many

Kind = Literal["random", "perfect"]

MAPS_PER_CANDIDATE = 10_000
"""Wall maps after which one candidate is given up: 0.1 to 0.3 s at 30x30."""

_STREAM_BITS = 40
"""Candidates of one stream are numbered below 2 ** 40."""


@dataclass(frozen=True)
class MazeWish:
    """What a generated maze must be. The defaults of moves: at least the side, and no upper bound."""

    side: int
    kind: Kind = "random"
    wall_share: tuple[float, float] = (0.37, 0.42)
    """Least and largest share of walls, of `random` mazes: their number is uniform between the two."""
    min_moves: int | None = None
    """Fewest moves from start to goal. Maze-Hard has more than 110, at side 30."""
    max_moves: int | None = None

    @property
    def fewest_moves(self) -> int:
        return self.side if self.min_moves is None else self.min_moves

    def __str__(self) -> str:
        low, high = self.wall_share
        share = f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}"
        most = "" if self.max_moves is None else f", at most {self.max_moves}"
        return (
            f"{self.kind} {self.side}x{self.side}"
            + (f", {share} walls" if self.kind == "random" else "")
            + f", shortest path unique, at least {self.fewest_moves} moves{most}"
        )


@dataclass(frozen=True)
class MazeCandidates:
    """N consecutive candidates: tokens [N, C] of maze and label, and what came of each."""

    inputs: Tokens
    labels: Tokens
    moves: NDArray[np.int64]
    """Moves from start to goal; 0 where the wish was not met in `MAPS_PER_CANDIDATE` maps."""
    longest: NDArray[np.int64]
    """The largest distance of two cells that was met, fit or not."""
    added: NDArray[np.int64]
    """Walls added beside those drawn, so that the shortest path is the only one."""


def make_mazes(wish: MazeWish, seed: int, first: int, count: int, stream: int = 0) -> MazeCandidates:
    """Candidates `first` to `first + count - 1` of a stream of a seed, whether or not they meet the wish."""
    # One Philox draw per (seed, stream, index) starts each candidate's own stream.
    keys = range((stream << _STREAM_BITS) + first, (stream << _STREAM_BITS) + first + count)
    states = np.array(
        [[np.random.Philox(key=[seed, key]).random_raw()] for key in keys], dtype=np.uint64
    ).reshape(count, 1)
    cells = wish.side**2
    low, high = (round(share * cells) for share in wish.wall_share)
    inputs = np.zeros((count, cells), dtype=np.uint8)
    moves, longest, added = np.empty((3, count), dtype=np.int64)
    made = MazeCandidates(inputs, np.zeros_like(inputs), moves, longest, added)
    make_many(
        states,
        wish.side,
        wish.kind == "perfect",
        low,
        high,
        wish.fewest_moves,
        cells if wish.max_moves is None else wish.max_moves,
        MAPS_PER_CANDIDATE,
        made.inputs,
        made.labels,
        made.moves,
        made.longest,
        made.added,
    )
    return made
