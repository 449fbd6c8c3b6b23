"""Tokens, shortest paths and the two accuracies, against a plain search written another way."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.errors import UserError
from trm_scaling.tasks.grid_symmetry import transform_grid
from trm_scaling.tasks.maze.board import (
    FREE,
    GOAL,
    PAD,
    PATH,
    START,
    WALL,
    augment,
    invert,
    maze_text,
    parse_maze,
    path_lengths,
)
from trm_scaling.tasks.maze.rules import exact, shortest_paths, verify


def tokens(*texts: str) -> np.ndarray:
    return np.stack([parse_maze(text, "here") for text in texts])


def every_path(maze: np.ndarray, side: int) -> list[set[int]]:
    """All simple paths from start to goal, by trying everything: cells without the two ends."""
    start, goal = (int(np.argmax(maze == token)) for token in (START, GOAL))
    found: list[set[int]] = []

    def go(cell: int, seen: list[int]) -> None:
        if cell == goal:
            found.append(set(seen[1:-1]))
            return
        row, col = divmod(cell, side)
        for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            r, c = row + down, col + right
            other = r * side + c
            if 0 <= r < side and 0 <= c < side and maze[other] != WALL and other not in seen:
                go(other, [*seen, other])

    go(start, [start])
    return found


def random_mazes(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mazes = np.where(rng.random((count, 25)) < 0.4, WALL, FREE).astype(np.uint8)
    for maze in mazes:
        start, goal = rng.choice(25, 2, replace=False)
        maze[start], maze[goal] = START, GOAL
    return mazes


def test_tokens_are_the_public_ones_and_text_comes_back() -> None:
    text = "# SGo" + " " * 20
    (maze,) = tokens(text)
    assert maze[:5].tolist() == [1, 2, 3, 4, 5]
    assert maze_text(maze) == text
    assert (PAD, WALL, FREE, START, GOAL, PATH) == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SG" + " " * 22, "24 characters"),
        ("SG  ", "4 characters"),
        ("SG" + " " * 51**2, "characters are not a square maze"),
        ("xSG" + " " * 22, "character 1 is 'x'"),
        ("SG" + " " * 22 + "\u00e9", "character 25"),
        ("S" + " " * 24, "1 S and 0 G"),
        ("SSG" + " " * 22, "2 S and 1 G"),
    ],
)
def test_a_text_that_is_no_maze_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_maze(text, "here")


def test_length_and_number_of_shortest_paths_are_those_of_all_paths() -> None:
    mazes = random_mazes(150, 0)
    moves, paths = shortest_paths(mazes)
    seen = set()
    for maze, length, count in zip(mazes, moves.tolist(), paths.tolist(), strict=True):
        lengths = [len(path) + 1 for path in every_path(maze, 5)]
        shortest = min(lengths, default=-1)
        assert (length, count) == (shortest, min(2, lengths.count(shortest) if lengths else 0))
        seen.add(count)
    assert seen == {0, 1, 2}


def test_verify_accepts_every_shortest_path_and_nothing_else() -> None:
    """Every subset of the free cells of small mazes, and so every answer that leaves the walls alone."""
    mazes = [maze for maze in random_mazes(400, 1) if (maze == FREE).sum() <= 10][:25]
    accepted = 0
    for maze in mazes:
        paths = every_path(maze, 5)
        least = min(map(len, paths), default=0)
        right = {frozenset(path) for path in paths if len(path) == least}
        free = np.flatnonzero(maze == FREE)
        answers = np.repeat(maze[None], 2 ** len(free), axis=0)
        for row, chosen in enumerate(product((False, True), repeat=len(free))):
            answers[row, free[np.array(chosen, dtype=bool)]] = PATH
        valid = verify(np.repeat(maze[None], len(answers), axis=0), answers)
        assert {frozenset(np.flatnonzero(answer == PATH).tolist()) for answer in answers[valid]} == right
        accepted += int(valid.sum())
    assert accepted > 10


def test_an_answer_that_changes_the_maze_is_not_valid() -> None:
    maze = tokens("S   #" + "### #" + "    #" + " ####" + "    G")
    label = tokens("Sooo#" + "###o#" + "oooo#" + "o####" + "ooooG")
    assert verify(maze, label).tolist() == [True]
    assert exact(label, label).tolist() == [True]
    for cell, token in product(range(25), range(7)):
        answer = label.copy()
        answer[0, cell] = token
        expected = token == label[0, cell]
        assert verify(maze, answer).tolist() == [expected], (cell, token)
        assert exact(answer, label).tolist() == [expected]


def test_another_shortest_path_is_valid_and_not_exact_and_a_detour_is_neither() -> None:
    maze = tokens("S    " + " ### " + " # # " + " ### " + "    G")
    label = tokens("Soooo" + " ###o" + " # #o" + " ###o" + "    G")
    other = tokens("S    " + "o### " + "o# # " + "o### " + "ooooG")
    assert verify(maze, other).tolist() == [True]
    assert exact(other, label).tolist() == [False]
    both = np.maximum(label, other)
    assert verify(maze, both).tolist() == [False]


def test_answers_may_have_leading_axes_and_other_integers() -> None:
    mazes = random_mazes(20, 2)
    labels = np.stack([mazes, np.where(mazes == FREE, PATH, mazes)])
    for dtype in (np.uint8, np.int32):
        valid = verify(mazes, labels.astype(dtype)[None])
        assert valid.shape == (1, 2, 20)
        np.testing.assert_array_equal(valid[0, 1], verify(mazes, labels[1]))
    assert not verify(mazes, np.full((20, 25), 256 + PATH, dtype=np.int32)).any()
    assert exact(labels, mazes).tolist()[0] == [True] * 20


def test_augment_is_the_identity_at_0_traceable_and_undone_by_invert() -> None:
    mazes = random_mazes(16, 3)
    labels = np.where(mazes == FREE, PATH, mazes).astype(np.uint8)
    index = jnp.arange(16, dtype=jnp.int32)
    images, image_labels = jax.jit(augment)(7, index, index, mazes, labels)
    for row in range(16):
        for made, plain in ((images, mazes), (image_labels, labels)):
            np.testing.assert_array_equal(
                made[row], transform_grid(plain[row].reshape(5, 5), row % 8).reshape(-1)
            )
    np.testing.assert_array_equal(images[0], mazes[0])
    np.testing.assert_array_equal(jax.jit(invert)(7, index, index, image_labels), labels)


def test_a_path_has_one_move_more_than_cells() -> None:
    assert path_lengths(tokens("SG" + " " * 23, "SooG" + " " * 21)).tolist() == [1, 3]
