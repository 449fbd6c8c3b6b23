"""A maze as text and as tokens, and its eight images.

The text is the public data set's: one character a cell, row by row, `#` a wall, a space a free cell, S the
start, G the goal and `o` a cell of the path. The label of a maze is the maze with its path drawn in.

N mazes, S side, C = S * S cells, B batch.
"""

from math import isqrt
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer, Shaped, UInt8
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.tasks.grid_symmetry import NUM_SYMMETRIES, invert_squares, transform_squares
from trm_scaling.tasks.maze.description import MAX_SIDE, MIN_SIDE

CHARACTERS = "# SGo"
"""Token t stands for CHARACTERS[t - 1]; token 0 is padding, which no maze has."""

PAD, WALL, FREE, START, GOAL, PATH = range(6)
VOCAB_SIZE = 6

Tokens = NDArray[np.uint8]

_TOKEN_OF = np.zeros(256, dtype=np.uint8)
_TOKEN_OF[np.frombuffer(CHARACTERS.encode(), dtype=np.uint8)] = np.arange(1, VOCAB_SIZE)
_CHARACTER_OF = np.frombuffer(("?" + CHARACTERS).encode(), dtype=np.uint8)


def parse_maze(text: str, where: str) -> UInt8[np.ndarray, " C"]:
    """The tokens of a maze, or of a maze with its path, in text.

    Args:
        text: C characters of `CHARACTERS`; C is the square of a side from `MIN_SIDE` to `MAX_SIDE`.
        where: begins the message of an error, e.g. `train.csv, line 3, q`.

    Raises:
        UserError: another length, another character, or not exactly one S and one G.
    """
    side = isqrt(len(text))
    if side * side != len(text) or not MIN_SIDE <= side <= MAX_SIDE:
        raise UserError(
            f"{where}: {len(text)} characters are not a square maze of {MIN_SIDE} to {MAX_SIDE} cells a "
            "side; write one character a cell, row by row"
        )
    if odd := set(text) - set(CHARACTERS):
        place = min(text.index(each) for each in odd)
        raise UserError(
            f"{where}: character {place + 1} is {text[place]!r}; a maze holds # (wall), space (free), "
            "S, G and o (path)"
        )
    if (text.count("S"), text.count("G")) != (1, 1):
        raise UserError(
            f"{where}: {text.count('S')} S and {text.count('G')} G; a maze has one start and one goal"
        )
    return _TOKEN_OF[np.frombuffer(text.encode(), dtype=np.uint8)]


def maze_text(tokens: UInt8[np.ndarray, " C"]) -> str:
    """The text of a maze; `?` where a token is padding."""
    return _CHARACTER_OF[tokens].tobytes().decode()


def path_lengths(labels: UInt8[np.ndarray, "N C"]) -> Int32[np.ndarray, " N"]:
    """Moves from start to goal along each drawn path: its cells and one (the public `rating`)."""
    return ((labels == PATH).sum(axis=-1) + 1).astype(np.int32)


def augment(
    seed: Integer[Any, ""] | int,
    puzzle_index: Integer[Any, " B"],
    aug_index: Integer[Any, " B"],
    inputs: UInt8[Any, "B C"],
    labels: UInt8[Any, "B C"],
) -> tuple[UInt8[Any, "B C"], UInt8[Any, "B C"]]:
    """Images of a batch of mazes and of their labels under the same symmetries, as JAX arrays. Traceable.

    Args:
        seed, puzzle_index: not used. A maze has eight images in all, so its index alone names one.
        aug_index: [B]; image i is symmetry i modulo 8, the public builder's order. 0 is the maze itself.
        inputs, labels: [B, C] tokens.
    """
    symmetry = aug_index % NUM_SYMMETRIES
    return transform_squares(inputs, symmetry), transform_squares(labels, symmetry)


def invert(
    seed: Integer[Any, ""] | int,
    puzzle_index: Integer[Any, " B"],
    aug_index: Integer[Any, " B"],
    answers: Shaped[Any, "B C"],
) -> Shaped[Any, "B C"]:
    """Answers to images of mazes, turned back to the mazes themselves. Traceable. Arguments as `augment`."""
    return invert_squares(answers, aug_index % NUM_SYMMETRIES)
