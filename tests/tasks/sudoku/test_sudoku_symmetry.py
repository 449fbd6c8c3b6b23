"""The symmetry group on the host and on the device, and what tells its orbits apart."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm_scaling.tasks.sudoku.board import Shape, check_rules, digits_to_tokens, tokens_to_digits
from trm_scaling.tasks.sudoku.classes import canonical_grid, puzzle_keys, shared_classes
from trm_scaling.tasks.sudoku.generate import Candidates, Wish, make_candidates
from trm_scaling.tasks.sudoku.search import count_solutions, solve
from trm_scaling.tasks.sudoku.symmetry import block_orders, identity, random_symmetry

SHAPES = [Shape(2, 2), Shape(2, 3), Shape(3, 2), Shape(3, 3), Shape(1, 5), Shape(2, 4)]
MADE = {shape: make_candidates(shape, Wish(), 1, 0, 20) for shape in SHAPES}

shapes = st.sampled_from(SHAPES)
seeds = st.integers(0, 2**32 - 1)


@given(shapes, seeds, st.integers(0, 19))
def test_composition_is_applying_one_after_the_other(shape: Shape, seed: int, row: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = random_symmetry(shape, rng), random_symmetry(shape, rng)
    board = MADE[shape].puzzles[row]
    np.testing.assert_array_equal(second.after(first).apply(board), second.apply(first.apply(board)))


@given(shapes, seeds, st.integers(0, 19))
def test_the_inverse_undoes(shape: Shape, seed: int, row: int) -> None:
    symmetry = random_symmetry(shape, np.random.default_rng(seed))
    board = MADE[shape].puzzles[row]
    for undone in (symmetry.inverse().after(symmetry), symmetry.after(symmetry.inverse())):
        np.testing.assert_array_equal(undone.apply(board), board)
    np.testing.assert_array_equal(identity(shape).apply(board), board)


@given(shapes, seeds, st.integers(0, 19))
def test_an_image_is_a_puzzle_whose_only_solution_is_the_image(shape: Shape, seed: int, row: int) -> None:
    symmetry = random_symmetry(shape, np.random.default_rng(seed))
    made = MADE[shape]
    image = symmetry.apply(made.puzzles[row])
    np.testing.assert_array_equal(solve(image, shape).solution, symmetry.apply(made.solutions[row]))


def test_transposition_happens_only_with_square_boxes() -> None:
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        drawn = {random_symmetry(shape, rng).transposed for _ in range(50)}
        assert drawn == ({True, False} if shape.box_rows == shape.box_cols else {False})


@pytest.mark.parametrize(
    ("side", "block", "orders"), [(4, 2, 8), (6, 2, 48), (6, 3, 72), (9, 3, 1296), (5, 5, 120)]
)
def test_block_orders_are_all_distinct(side: int, block: int, orders: int) -> None:
    assert len(np.unique(block_orders(side, block), axis=0)) == len(block_orders(side, block)) == orders


@given(shapes, seeds)
def test_keys_and_canonical_form_are_those_of_every_image(shape: Shape, seed: int) -> None:
    symmetry = random_symmetry(shape, np.random.default_rng(seed))
    made = MADE[shape]
    images, grids = symmetry.apply(made.puzzles), symmetry.apply(made.solutions)
    np.testing.assert_array_equal(
        puzzle_keys(images, grids, shape), puzzle_keys(made.puzzles, made.solutions, shape)
    )
    np.testing.assert_array_equal(canonical_grid(grids[0], shape), canonical_grid(made.solutions[0], shape))


def all_grids_4x4() -> np.ndarray:
    rows = [row for row in product(range(1, 5), repeat=4) if len(set(row)) == 4]
    grids = np.array(list(product(rows, repeat=4)), dtype=np.uint8)
    columns = (np.sort(grids, axis=1) == np.arange(1, 5)[:, None]).all(axis=(1, 2))
    boxes = np.sort(grids.reshape(-1, 2, 2, 2, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 4, 4), axis=2)
    return grids[columns & (boxes == np.arange(1, 5)).all(axis=(1, 2))].reshape(-1, 16)


def test_the_288_grids_of_4x4_fall_in_two_classes() -> None:
    grids = all_grids_4x4()
    forms = {canonical_grid(grid, Shape(2, 2)).tobytes() for grid in grids}
    keys = np.unique(puzzle_keys(grids, grids, Shape(2, 2)))
    assert (len(grids), len(forms), len(keys)) == (288, 2, 2)


def test_6x6_grids_fall_in_49_classes_whose_canonical_form_is_a_member() -> None:
    shape = Shape(2, 3)
    grids = make_candidates(shape, Wish(givens=36), 0, 0, 1500).solutions
    forms = np.unique([canonical_grid(grid, shape) for grid in grids], axis=0)
    assert len(forms) == 49
    for form in forms:
        check_rules(form, shape, "canonical form")
        np.testing.assert_array_equal(canonical_grid(form, shape), form)


def test_keys_tell_the_36_minimal_puzzles_of_4x4_apart() -> None:
    """13 classes with 4 givens, 22 with 5, 1 with 6 (Taalman 2007, "Taking Sudoku seriously")."""
    shape = Shape(2, 2)
    made = make_candidates(shape, Wish(minimal=True), 0, 0, 4000)
    keys = puzzle_keys(made.puzzles, made.solutions, shape)
    assert [len(np.unique(keys[made.givens == givens])) for givens in (4, 5, 6)] == [13, 22, 1]


def test_shared_classes_counts_those_in_two_splits_or_more() -> None:
    shape = Shape(3, 3)
    grids = MADE[shape].solutions
    image = random_symmetry(shape, np.random.default_rng(0)).apply(grids[:2])
    assert shared_classes([grids[:5], grids[5:10], grids[10:]], shape) == 0
    assert shared_classes([grids[:5], np.concatenate([grids[5:10], image]), image[:1]], shape) == 2
    assert shared_classes([grids[:5], grids[:0]], shape) == 0


def augmented(
    shape: Shape, made: Candidates, seed: int, puzzle: np.ndarray, index: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    from trm_scaling.tasks.sudoku.augment import augment_batch

    images = augment_batch(
        seed,
        puzzle.astype(np.int32),
        index.astype(np.int32),
        digits_to_tokens(made.puzzles)[puzzle],
        digits_to_tokens(made.solutions)[puzzle],
        shape,
    )
    inputs, labels = (np.asarray(each) for each in images)
    assert inputs.dtype == labels.dtype == np.uint8
    return inputs, labels


@pytest.mark.parametrize("shape", [Shape(2, 2), Shape(2, 3), Shape(3, 3)], ids=str)
def test_device_images_lie_in_the_orbit_and_index_0_is_the_puzzle(shape: Shape) -> None:
    made = MADE[shape]
    puzzle, index = np.arange(200) % 20, np.arange(200) // 20
    inputs, labels = augmented(shape, made, 7, puzzle, index)
    images, grids = tokens_to_digits(inputs), tokens_to_digits(labels)
    np.testing.assert_array_equal(images[:20], made.puzzles)
    np.testing.assert_array_equal(grids[:20], made.solutions)
    keys = puzzle_keys(made.puzzles, made.solutions, shape)
    np.testing.assert_array_equal(puzzle_keys(images, grids, shape), keys[puzzle])
    for image, grid in zip(images, grids, strict=True):
        np.testing.assert_array_equal(solve(image, shape).solution, grid)


def test_device_images_depend_on_seed_puzzle_and_index_and_on_nothing_else() -> None:
    shape = Shape(3, 3)
    made = MADE[shape]
    puzzle, index = np.arange(64) % 20, np.arange(64)
    inputs, labels = augmented(shape, made, 7, puzzle, index)
    # Another order and company in the batch (of the same size, so the same program) changes nothing.
    again, _ = augmented(shape, made, 7, puzzle[::-1].copy(), index[::-1].copy())
    np.testing.assert_array_equal(again[::-1], inputs)
    other_seed, _ = augmented(shape, made, 8, puzzle, index)
    assert (other_seed[1:] != inputs[1:]).any(axis=1).all()
    # One puzzle and one augmentation index, but another stream number: another symmetry.
    from trm_scaling.tasks.sudoku.augment import augment_batch

    streams = np.arange(64, dtype=np.int32)
    same = np.zeros(64, dtype=np.int64)
    images = augment_batch(
        7, streams, streams * 0 + 3, digits_to_tokens(made.puzzles)[same], labels[:1].repeat(64, 0), shape
    )
    assert len(np.unique(np.asarray(images[0]), axis=0)) == 64


def test_device_images_are_uniform_over_the_group() -> None:
    """4x4 grids have orbits of 96 and 192; a uniform group element gives a uniform image."""
    shape = Shape(2, 2)
    index = np.arange(1, 19_201)
    _, labels = augmented(shape, MADE[shape], 0, np.zeros_like(index), index)
    _, counts = np.unique(labels, axis=0, return_counts=True)
    assert len(counts) in (96, 192)
    expected = len(index) / len(counts)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    # Mean len - 1, standard deviation sqrt(2 (len - 1)); five of them is one run in a million.
    assert abs(chi_square - (len(counts) - 1)) < 5 * np.sqrt(2 * (len(counts) - 1))


def test_transposition_is_reached_on_the_device() -> None:
    """A puzzle of one full row has images with a full column exactly if transposition happens."""
    for shape, expected in ((Shape(2, 2), {True, False}), (Shape(2, 3), {True})):
        made = MADE[shape]
        row_only = made.solutions.copy()
        row_only[:, shape.side :] = 0
        altered = Candidates(row_only, made.solutions, made.ratings, made.givens, made.fits, made.searches)
        inputs, _ = augmented(shape, altered, 0, np.zeros(64, dtype=np.int64), np.arange(64))
        filled = np.greater(inputs, 1).reshape(-1, shape.side, shape.side)
        has_full_row = np.any(np.all(filled, axis=2), axis=1)
        assert set(has_full_row.tolist()) == expected


def test_count_solutions_sees_that_a_minimal_puzzle_needs_each_given() -> None:
    shape = Shape(2, 3)
    for puzzle in MADE[shape].puzzles:
        for cell in np.flatnonzero(puzzle):
            without = puzzle.copy()
            without[cell] = 0
            assert count_solutions(without, shape) == 2
