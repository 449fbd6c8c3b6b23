"""The models of the package solve new puzzles, know their origin, and are small."""

import numpy as np
import pytest

from trm_scaling.evaluation.score import Evaluator
from trm_scaling.shipped.model_file import FOLDER, SUFFIX, Model, read_model
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.tasks.sudoku.generate import fresh_puzzle
from trm_scaling.tasks.task import spec_of, task_of
from trm_scaling.train.weights import weights_from_public

PUZZLES = 200
MOST_BYTES = 400_000


def shipped(name: str) -> Model:
    return read_model(FOLDER / f"{name}{SUFFIX}")


def new_puzzles(model: Model) -> Split:
    task = task_of(model.config.data)
    made = [task.choose(f"new:{number}") for number in range(PUZZLES)]
    return Split(np.stack([each.inputs for each in made]), np.stack([each.labels for each in made]))


@pytest.mark.parametrize(("name", "least"), [("4x4", 0.95), ("6x6", 0.80), ("maze", 0.65)])
def test_it_solves_new_puzzles(name: str, least: float) -> None:
    model = shipped(name)
    side = {"4x4": 4, "6x6": 6, "maze": 7}[name]
    assert spec_of(model.config.data).grid == (side, side)
    weights = weights_from_public(model.config, model.tensors, name)
    outcomes = Evaluator(model.config)(weights.params, weights.buffers, new_puzzles(model))
    assert outcomes.solved[:, -1].mean() >= least
    assert abs(model.origin.solved / model.origin.puzzles - outcomes.solved[:, -1].mean()) < 0.05


@pytest.mark.parametrize("name", ["4x4", "6x6", "maze"])
def test_it_says_where_it_is_from(name: str) -> None:
    origin = shipped(name).origin
    assert origin.commit is not None
    assert origin.uncommitted_changes is False
    assert (FOLDER / f"{name}{SUFFIX}").stat().st_size < MOST_BYTES


def test_new_puzzles_are_of_no_dataset_s_stream() -> None:
    """Candidate 0 of the seed 0, with which datasets are made, is another puzzle than new:0."""
    from trm_scaling.tasks.sudoku.board import Shape
    from trm_scaling.tasks.sudoku.generate import Wish, make_candidates

    data = shipped("6x6").config.data
    assert isinstance(data, SudokuData)
    first = make_candidates(Shape(2, 3), Wish(givens=12), data.seed, 0, 1).puzzles[0]
    assert not np.array_equal(first, fresh_puzzle(data, 0).puzzle)
    np.testing.assert_array_equal(fresh_puzzle(data, 3).puzzle, fresh_puzzle(data, 3).puzzle)
