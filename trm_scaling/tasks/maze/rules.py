"""The two accuracies of a maze answer, and the shortest paths that they rest on.

`exact` compares all cells with the stored label. `verify` needs no label: it accepts every shortest path.
Where a maze has several, only `verify` is fair to a model that found another one than the label's.

N mazes, C cells.
"""

from math import isqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt8

from trm_scaling.errors import UserError
from trm_scaling.tasks.maze.board import FREE, GOAL, PATH, START, WALL
from trm_scaling.tasks.maze.kernels import shortest_many, verify_many


class ShortestPaths(NamedTuple):
    """Of N mazes."""

    moves: Int64[np.ndarray, " N"]
    """Moves from start to goal on a shortest path; -1 where no path leads there."""
    paths: Int64[np.ndarray, " N"]
    """How many shortest paths there are; 2 stands for two or more."""


def shortest_paths(inputs: UInt8[np.ndarray, "N C"]) -> ShortestPaths:
    """Length and number of the shortest paths of mazes, each with one start and one goal."""
    moves, paths = np.empty((2, len(inputs)), dtype=np.int64)
    shortest_many(np.ascontiguousarray(inputs), isqrt(inputs.shape[1]), moves, paths)
    return ShortestPaths(moves, paths)


def exact(
    answers: Integer[np.ndarray, "*steps N C"], labels: UInt8[np.ndarray, "N C"]
) -> Bool[np.ndarray, "*steps N"]:
    """Which answers are the label in every cell, walls included."""
    return (answers == labels).all(axis=-1)


def verify(
    inputs: UInt8[np.ndarray, "N C"], answers: Integer[np.ndarray, "*steps N C"]
) -> Bool[np.ndarray, "*steps N"]:
    """Which answers are valid and optimal, by the rules alone.

    Such an answer leaves walls, start and goal as they are, and its path cells with start and goal are a
    4-connected simple path of the least possible length.

    Args:
        inputs: tokens; each maze has one start and one goal.
        answers: tokens, for each maze one or, along leading axes, several (supervision steps, samples).
    """
    side = isqrt(inputs.shape[1])
    inputs = np.ascontiguousarray(inputs)
    moves = shortest_paths(inputs).moves
    if answers.dtype != np.uint8:
        # One compiled function serves all; what does not fit is no token of a maze either way.
        answers = np.clip(answers, 0, 255).astype(np.uint8)
    valid = np.empty(answers.shape[:-1], dtype=np.bool_)
    for step in np.ndindex(answers.shape[:-2]):
        verify_many(inputs, moves, np.ascontiguousarray(answers[step]), side, valid[step])
    return valid


def draw_shortest(maze: UInt8[np.ndarray, " C"]) -> UInt8[np.ndarray, " C"]:
    """The maze with a shortest path drawn in: the first by rows. Raises UserError when no path leads to
    the goal.
    """
    side = isqrt(len(maze))
    grid = maze.reshape(side, side)
    (start,), (goal,) = (np.argwhere(grid == token).tolist() for token in (START, GOAL))
    before = {tuple(start): tuple(start)}
    queue = [tuple(start)]
    for row, col in queue:
        for near in ((row - 1, col), (row, col - 1), (row, col + 1), (row + 1, col)):
            inside = 0 <= near[0] < side and 0 <= near[1] < side
            if inside and near not in before and grid[near] != WALL:
                before[near] = (row, col)
                queue.append(near)
    if tuple(goal) not in before:
        raise UserError("the maze: no path leads from S to G; open a wall")
    drawn = grid.copy()
    cell = before[tuple(goal)]
    while cell != tuple(start):
        drawn[cell] = PATH
        cell = before[cell]
    return np.where(drawn == PATH, PATH, np.where(grid == PATH, FREE, grid)).reshape(-1).astype(np.uint8)
