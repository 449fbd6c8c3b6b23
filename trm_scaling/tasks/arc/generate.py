"""Toy tasks in ARC's form: one simple rule a task, and pairs of small grids that follow it.

They take no files, so that a fresh clone can train on them, and they are functions of a seed. They are far
easier than ARC's own and say nothing of ARC: they show that training, votes and pictures work.
"""

from collections.abc import Callable, Iterator

import numpy as np

from trm_scaling.tasks.arc.augmentation import below, random_words
from trm_scaling.tasks.arc.collection import COLOURS, ArcTask, Grid, Pair
from trm_scaling.tasks.arc.description import LEAST_SIDE

_TOY = 32
"""First key of the stream of random words."""

_DRAWS = 4096
"""Words that one pair may use."""

Draw = Callable[[int], int]
"""A whole number from 0 to below the bound."""

Rule = Callable[[Grid, int, int], Grid]
"""(grid, two colours of the task) -> its output."""


def generate(num_tasks: int, pairs: int, side: int, seed: int) -> list[ArcTask]:
    """`num_tasks` tasks of `pairs` pairs each, the last of them under `test`. Grids have `side` - 3 to
    `side` - 1 rows and columns (3 at the least), so that their end is marked inside the square.
    """
    rules = list(RULES.items())
    tasks = []
    for number in range(num_tasks):
        name, rule = rules[number % len(rules)]
        chosen = _draws(seed, number, -1)
        one = 1 + chosen(COLOURS - 1)
        two = 1 + (one + chosen(COLOURS - 2)) % (COLOURS - 1)
        made = []
        for pair in range(pairs):
            grid = _grid(_draws(seed, number, pair), side - 1, one, two)
            made.append(Pair(grid, rule(grid, one, two), is_test=pair == pairs - 1))
        tasks.append(ArcTask(f"{name}-{number}", "toy", tuple(made)))
    return tasks


def _draws(seed: int, task: int, pair: int) -> Draw:
    words: Iterator[np.uint64] = iter(random_words(seed, _TOY, task, pair, np.arange(_DRAWS)))
    return lambda bound: int(below(np.array([next(words)]), bound)[0])


def _grid(draw: Draw, most: int, one: int, two: int) -> Grid:
    """Black, with a third of the cells in the task's two colours and a few others."""
    least = max(LEAST_SIDE - 2, most - 2)
    grid = np.zeros((least + draw(most - least + 1), least + draw(most - least + 1)), dtype=np.uint8)
    palette = (one, one, two, two, 1 + draw(COLOURS - 1))
    for place in np.ndindex(grid.shape):
        if draw(3) == 0:
            grid[place] = palette[draw(len(palette))]
    # Every rule is to have something to do.
    grid[draw(grid.shape[0]), draw(grid.shape[1])] = one
    return grid


def _recolour(grid: Grid, one: int, two: int) -> Grid:
    return np.where(grid == one, two, grid).astype(np.uint8)


def _move(grid: Grid, one: int, two: int) -> Grid:
    """One column to the right; what leaves comes in on the left."""
    return np.roll(grid, 1, axis=1)


def _fill(grid: Grid, one: int, two: int) -> Grid:
    """Black becomes a colour."""
    return np.where(grid == 0, two, grid).astype(np.uint8)


def _keep(grid: Grid, one: int, two: int) -> Grid:
    """One colour stays, all others become black."""
    return np.where(grid == one, grid, 0).astype(np.uint8)


def _frame(grid: Grid, one: int, two: int) -> Grid:
    framed = grid.copy()
    framed[[0, -1], :] = framed[:, [0, -1]] = two
    return framed


def _mirror(grid: Grid, one: int, two: int) -> Grid:
    return grid[:, ::-1].copy()


RULES: dict[str, Rule] = {
    "recolour": _recolour,
    "mirror": _mirror,
    "fill": _fill,
    "move": _move,
    "keep": _keep,
    "frame": _frame,
}
