"""The models of the package solve new puzzles, know their origin, and are small."""

import numpy as np
import pytest

from trm_scaling.evaluation.score import Evaluator
from trm_scaling.shipped.model_file import Model, read_model
from trm_scaling.shipped.shelf import FOLDER, SUFFIX
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.sudoku.board import digits_to_tokens
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.tasks.sudoku.fresh import fresh_puzzle
from trm_scaling.train.weights import weights_from_public

PUZZLES = 200
MOST_BYTES = 400_000


def shipped(name: str) -> Model:
    return read_model(FOLDER / f"{name}{SUFFIX}")


def sudoku(model: Model) -> SudokuData:
    assert isinstance(model.config.data, SudokuData)
    return model.config.data


def new_puzzles(model: Model) -> Split:
    made = [fresh_puzzle(sudoku(model), number) for number in range(PUZZLES)]
    return Split(
        np.stack([digits_to_tokens(each.puzzle) for each in made]),
        np.stack([digits_to_tokens(each.solution) for each in made]),
        np.array([each.rating for each in made], np.int32),
    )


@pytest.mark.parametrize(("name", "side", "givens", "least"), [("4x4", 4, 8, 0.95), ("6x6", 6, 12, 0.80)])
def test_it_solves_new_puzzles(name: str, side: int, givens: int, least: float) -> None:
    model = shipped(name)
    assert (sudoku(model).side, sudoku(model).givens) == (side, givens)
    weights = weights_from_public(model.config, model.tensors, name)
    outcomes = Evaluator(model.config)(weights.params, weights.buffers, new_puzzles(model))
    assert outcomes.solved[:, -1].mean() >= least
    assert abs(model.origin.solved / model.origin.puzzles - outcomes.solved[:, -1].mean()) < 0.05


@pytest.mark.parametrize("name", ["4x4", "6x6"])
def test_it_says_where_it_is_from(name: str) -> None:
    origin = shipped(name).origin
    assert origin.commit is not None
    assert origin.uncommitted_changes is False
    assert (FOLDER / f"{name}{SUFFIX}").stat().st_size < MOST_BYTES


def test_new_puzzles_are_of_no_dataset_s_stream() -> None:
    """Candidate 0 of the seed 0, with which datasets are made, is another puzzle than new:0."""
    from trm_scaling.tasks.sudoku.board import Shape
    from trm_scaling.tasks.sudoku.generate import Wish, make_candidates

    data = sudoku(shipped("6x6"))
    first = make_candidates(Shape(2, 3), Wish(givens=12), data.seed, 0, 1).puzzles[0]
    assert not np.array_equal(first, fresh_puzzle(data, 0).puzzle)
    np.testing.assert_array_equal(fresh_puzzle(data, 3).puzzle, fresh_puzzle(data, 3).puzzle)
