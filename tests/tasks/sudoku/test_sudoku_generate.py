"""Generated puzzles meet their wish, and splits keep apart what must not meet."""

from itertools import pairwise

import numpy as np
import pytest

from trm_scaling.errors import UserError
from trm_scaling.tasks.folder import silent
from trm_scaling.tasks.sudoku import splits
from trm_scaling.tasks.sudoku.board import Shape
from trm_scaling.tasks.sudoku.classes import puzzle_keys
from trm_scaling.tasks.sudoku.generate import Wish, make_candidates
from trm_scaling.tasks.sudoku.search import count_solutions, solve_many
from trm_scaling.tasks.sudoku.splits import generate_splits


@pytest.mark.parametrize(
    ("shape", "wish"),
    [
        (Shape(2, 2), Wish(givens=4)),
        (Shape(2, 3), Wish(givens=12)),
        (Shape(3, 2), Wish(givens=9)),
        (Shape(3, 3), Wish(givens=30)),
        (Shape(3, 3), Wish(max_rating=0)),
        (Shape(3, 3), Wish(min_rating=5, max_rating=10, minimal=True)),
        (Shape(3, 3), Wish(min_rating=30)),
    ],
    ids=str,
)
def test_candidates_that_fit_meet_the_wish(shape: Shape, wish: Wish) -> None:
    made = make_candidates(shape, wish, 0, 0, 10)
    assert made.fits.all()
    solutions, found, ratings = solve_many(made.puzzles, shape)
    np.testing.assert_array_equal(found, 1)
    np.testing.assert_array_equal(solutions, made.solutions)
    np.testing.assert_array_equal(ratings, made.ratings)
    np.testing.assert_array_equal((made.puzzles > 0).sum(axis=1), made.givens)
    assert wish.givens is None or (made.givens == wish.givens).all()
    assert wish.min_rating is None or (ratings >= wish.min_rating).all()
    assert wish.max_rating is None or (ratings <= wish.max_rating).all()
    if wish.minimal:
        for puzzle in made.puzzles:
            for cell in np.flatnonzero(puzzle):
                assert (
                    count_solutions(np.where(np.arange(81) == cell, 0, puzzle).astype(np.uint8), shape) == 2
                )


def test_a_candidate_depends_on_its_number_alone() -> None:
    wish = Wish(min_rating=3)
    whole = make_candidates(Shape(3, 3), wish, 5, 0, 6)
    part = make_candidates(Shape(3, 3), wish, 5, 4, 2)
    np.testing.assert_array_equal(part.puzzles, whole.puzzles[4:])
    assert (make_candidates(Shape(3, 3), wish, 6, 0, 6).puzzles != whole.puzzles).any(axis=1).all()


@pytest.mark.parametrize(
    ("shape", "wish", "sizes"),
    [
        (Shape(2, 2), Wish(), {"train": 1000, "val": 500, "test": 500}),
        (Shape(2, 2), Wish(minimal=True), {"train": 200, "val": 500, "test": 500}),
        (Shape(2, 3), Wish(givens=12), {"train": 300, "val": 300, "test": 300}),
        (Shape(3, 3), Wish(), {"train": 20, "val": 0, "test": 10}),
    ],
    ids=str,
)
def test_splits_are_full_distinct_and_disjoint(shape: Shape, wish: Wish, sizes: dict[str, int]) -> None:
    made = generate_splits(shape, wish, sizes, 3, silent)
    assert {name: len(split) for name, split in made.items()} == sizes
    puzzles = np.concatenate([split.puzzles for split in made.values()])
    assert len(np.unique(puzzles, axis=0)) == len(puzzles)
    for first in made:
        for second in made:
            if first < second:
                keys = [set(puzzle_keys(made[s].puzzles, made[s].solutions, shape)) for s in (first, second)]
                grids = [{grid.tobytes() for grid in made[s].solutions} for s in (first, second)]
                assert not keys[0] & keys[1]
                assert not grids[0] & grids[1]


@pytest.mark.parametrize(
    ("wish", "sizes", "message"),
    [
        (
            Wish(givens=3),
            {"train": 1, "val": 0, "test": 1},
            "train 0 of 1.* 0 met it; fewest givens reached 4",
        ),
        (Wish(min_rating=500), {"train": 1, "val": 0, "test": 1}, r"rating >= 500.* ratings 0-\d+\. Loosen"),
        (Wish(givens=16), {"train": 200, "val": 0, "test": 200}, r"train (96|192) of 200, val 0 of 0, test"),
    ],
    ids=["too few givens", "too hard", "only 288 grids"],
)
def test_a_wish_that_cannot_be_met_ends_with_what_was_reached(
    wish: Wish, sizes: dict[str, int], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "PATIENCE_SEARCHES", 50_000)
    with pytest.raises(UserError, match=message):
        generate_splits(Shape(2, 2), wish, sizes, 0, silent)


@pytest.mark.parametrize(("box", "givens"), [((2, 2), 8), ((2, 3), 14)])
def test_held_out_puzzles_do_not_depend_on_how_many_there_are_to_train_on(
    box: tuple[int, int], givens: int
) -> None:
    shape = Shape(*box)
    made = [
        generate_splits(shape, Wish(givens=givens), {"train": size, "val": 20, "test": 40}, 3, silent)
        for size in (5, 20, 150)
    ]
    for other in made[1:]:
        for held_out in ("val", "test"):
            np.testing.assert_array_equal(other[held_out].puzzles, made[0][held_out].puzzles)
    for fewer, more in pairwise(made):
        train = fewer["train"].puzzles
        np.testing.assert_array_equal(more["train"].puzzles[: len(train)], train)
