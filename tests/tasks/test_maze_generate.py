"""Generated mazes: what was asked of them, and that a build gives the same again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trm_scaling.errors import UserError
from trm_scaling.tasks.manifest import SplitName
from trm_scaling.tasks.maze.board import FREE, GOAL, PATH, START, WALL
from trm_scaling.tasks.maze.generate import MazeWish, make_mazes
from trm_scaling.tasks.maze.rules import shortest_paths, verify
from trm_scaling.tasks.maze.splits import (
    Splits,
    class_keys,
    generate_splits,
    originals,
    shared_classes,
    split_of,
    with_images,
)


@settings(max_examples=40)
@given(st.integers(5, 50), st.sampled_from(["random", "perfect"]), st.integers(0, 2**32 - 1))
def test_every_maze_of_every_size_has_one_shortest_path_and_its_label(side, kind, seed) -> None:
    wish = MazeWish(side, kind, min_moves=max(3, side // 2))
    made = make_mazes(wish, seed, 0, 8)
    moves, paths = shortest_paths(made.inputs)
    assert made.moves.tolist() == moves.tolist()
    assert (moves >= wish.fewest_moves).all()
    assert (paths == 1).all()
    assert verify(made.inputs, made.labels).all()
    for token in (START, GOAL):
        assert ((made.inputs == token).sum(axis=1) == 1).all()
    assert not (made.inputs == PATH).any()


def test_mazes_like_maze_hard() -> None:
    wish = MazeWish(30, min_moves=111)
    made = make_mazes(wish, 0, 0, 20)
    assert made.moves.min() >= 111
    drawn = (made.inputs == WALL).sum(axis=1) - made.added
    assert (drawn >= round(0.37 * 900)).all()
    assert (drawn <= round(0.42 * 900)).all()
    assert 5 < made.added.mean() < 30


def test_a_perfect_maze_is_a_tree_over_every_second_cell() -> None:
    side = 30
    made = make_mazes(MazeWish(side, "perfect", min_moves=100, max_moves=140), 0, 0, 10)
    assert ((made.moves >= 100) & (made.moves <= 140)).all()
    assert (made.added == 0).all()
    grids = made.inputs.reshape(-1, side, side) != WALL
    assert grids[:, ::2, ::2].all()
    assert not grids[:, 1::2, 1::2].any()
    # A tree of 15 x 15 rooms: one cell between two rooms for each room but one.
    assert (grids.sum(axis=(1, 2)) == 2 * 15 * 15 - 1).all()
    assert not grids[:, -1].any()


def test_a_maze_depends_on_seed_stream_and_number_alone() -> None:
    wish = MazeWish(7)
    whole = make_mazes(wish, 3, 0, 6)
    part = make_mazes(wish, 3, 4, 2)
    np.testing.assert_array_equal(whole.labels[4:], part.labels)
    for other in (make_mazes(wish, 4, 0, 6), make_mazes(wish, 3, 0, 6, stream=1)):
        assert not np.array_equal(whole.labels, other.labels)


def sizes(train: int, val: int, test: int) -> dict[SplitName, int]:
    return {"train": train, "val": val, "test": test}


def test_splits_are_distinct_up_to_symmetry_and_stay_when_others_grow() -> None:
    wish = MazeWish(5, min_moves=3)
    small, large = (generate_splits(wish, sizes(train, val, 60), 1) for train, val in ((40, 20), (200, 90)))
    keys = [key for split in large.values() for key in class_keys(split)]
    assert len(keys) == len(set(keys)) == 350
    assert shared_classes(large) == 0
    np.testing.assert_array_equal(small["test"].labels, large["test"].labels)
    np.testing.assert_array_equal(small["val"].labels, large["val"].labels[:20])
    fewer = generate_splits(wish, sizes(40, 90, 60), 1)
    np.testing.assert_array_equal(fewer["train"].labels, large["train"].labels[:40])
    assert large["train"].difficulty.tolist() == shortest_paths(large["train"].inputs).moves.tolist()


def test_an_image_in_another_split_counts_as_shared() -> None:
    splits: Splits = generate_splits(MazeWish(6), sizes(8, 4, 4), 0)
    turned = with_images(splits["train"])
    splits["test"] = split_of(turned.inputs[11:13], turned.labels[11:13])
    assert shared_classes(splits) == 1


def test_images_stand_in_groups_of_eight_and_the_first_is_the_maze() -> None:
    split = generate_splits(MazeWish(6), sizes(3, 1, 1), 0)["train"]
    every = with_images(split)
    assert every.group.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert verify(every.inputs, every.labels).all()
    assert every.num_mazes == 3
    np.testing.assert_array_equal(originals(every).labels, split.labels)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (MazeWish(5, min_moves=30), r"with 0 of 5 test mazes .*random 5x5.*were \d+ moves apart"),
        (MazeWish(5, wall_share=(0.0, 0.0), min_moves=8, max_moves=8), "with 2 of 5 test mazes"),
    ],
)
def test_a_wish_that_cannot_be_met_says_what_was_reached(wish: MazeWish, message: str) -> None:
    with pytest.raises(UserError, match=message):
        generate_splits(wish, sizes(0, 0, 5), 0)


def test_free_cells_are_free() -> None:
    made = make_mazes(MazeWish(5, wall_share=(0.0, 0.0), min_moves=2, max_moves=2), 0, 0, 4)
    assert ((made.inputs == FREE).sum(axis=1) + made.added == 23).all()
