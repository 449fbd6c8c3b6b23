"""Decoders on answers written by hand: S samples, N steps, B puzzles, C = 2 cells."""

from typing import get_args

import numpy as np
import pytest

from tests.train.tiny import config_of, split_of, state_of
from trm_scaling.errors import UserError
from trm_scaling.evaluation.decode import (
    Candidates,
    DecoderName,
    candidates_of,
    decoder,
    decoder_names,
    decoders_for,
    possible,
)
from trm_scaling.evaluation.predict import Answers
from trm_scaling.evaluation.samples import Budget
from trm_scaling.evaluation.score import Evaluator, judged
from trm_scaling.tasks.sudoku.task import Sudoku
from trm_scaling.tasks.task import Task, task_of

Numbers = list[list[list[float]]]
RIGHT = 5
"""The one right answer, by label and by rule."""


def given(
    tokens: list[list[list[int]]],
    q_halt: Numbers,
    confidence: Numbers | None = None,
    change: Numbers | None = None,
) -> Candidates:
    """One number an answer, (S, N, B), standing in both cells."""
    grid = np.repeat(np.array(tokens, np.uint8)[..., None], 2, axis=-1)
    logits = np.array(q_halt, np.float32)
    rest = [
        np.zeros_like(logits) if each is None else np.array(each, np.float32) for each in (confidence, change)
    ]
    right = np.array(tokens) == RIGHT
    return candidates_of(Answers(grid, logits, logits, *rest), right, right)  # type: ignore[arg-type]


ONE = given([[[1, 1], [2, 2], [3, 3]]], [[[-1, -1], [1, -2], [0, -3]]])
"""One sample, three steps, two puzzles: the first halts at step 2, the second never."""

THREE = given(
    [[[9, 1]], [[5, 2]], [[5, 3]]],
    [[[3.0, -1.0]], [[1.0, 4.0]], [[2.0, 0.0]]],
    confidence=[[[0.9, 0.1]], [[0.5, 0.2]], [[0.4, 0.3]]],
)
"""Three samples, one step: two agree on the first puzzle, none on the second."""

STILL = given(
    [[[1], [1], [1], [1], [1]], [[2], [2], [2], [2], [2]]],
    [[[0.0]] * 5, [[0.0]] * 5],
    change=[[[0.0], [0.0], [3.0], [3.0], [3.0]], [[0.0], [90.0], [4.0], [2.0], [2.0]]],
)
"""Two samples of five steps: over all of them the first moved less, over the last three the second."""

LATE = given(
    [[[1, 1], [1, 2], [5, 3]], [[5, 1], [2, 2], [3, 4]]],
    [[[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]], [[0.0, 7.0], [9.0, 0.0], [0.0, 0.0]]],
)
"""Two samples of three steps: the first puzzle is right in both, the second in none."""


@pytest.mark.parametrize(
    ("name", "answers", "sample", "step", "spent"),
    [
        ("last", ONE, [0, 0], [2, 2], [3, 3]),
        ("last", THREE, [0, 0], [0, 0], [1, 1]),
        ("halting", ONE, [0, 0], [1, 2], [2, 3]),
        ("best_q", ONE, [0, 0], [1, 0], [3, 3]),
        ("best_q", THREE, [0, 1], [0, 0], [3, 3]),
        ("mode", THREE, [2, 1], [0, 0], [3, 3]),
        ("confidence", THREE, [0, 2], [0, 0], [3, 3]),
        ("residual", STILL, [1], [4], [10]),
        ("residual", THREE, [0, 0], [0, 0], [3, 3]),  # after one step nothing has changed yet
        ("verified", LATE, [0, 1], [2, 0], [3, 6]),  # found at step 3; never: then best_q's
        ("oracle", LATE, [0, 0], [2, 2], [3, 6]),
    ],
)
def test_which_answer_counts(name, answers, sample, step, spent) -> None:
    found = decoder(name)(answers)
    np.testing.assert_array_equal(found.sample, sample)
    np.testing.assert_array_equal(found.step, step)
    np.testing.assert_array_equal(found.spent, spent)


def test_no_decoder_solves_what_the_oracle_does_not() -> None:
    random = np.random.default_rng(0)
    q_halt, confidence, change = random.normal(size=(3, 4, 5, 200)).tolist()
    answers = given(random.integers(1, 12, (4, 5, 200)).tolist(), q_halt, confidence, change)
    solved = {name: decoder(name)(answers).of(answers.solved) for name in get_args(DecoderName)}
    for name, each in solved.items():
        assert not (each & ~solved["oracle"]).any(), name
    # Every answer but the right one breaks the rules here, so the rules alone reach the ceiling.
    np.testing.assert_array_equal(solved["verified"], solved["oracle"])
    assert solved["mode"].sum() < solved["oracle"].sum(), "the comparison tells decoders apart"


def test_a_smaller_budget_is_a_part_of_a_larger_one() -> None:
    few = STILL.within(3, [0])
    assert few.q_halt.shape == (1, 3, 1)
    np.testing.assert_array_equal(decoder("residual")(STILL.within(2)).sample, [0])


class Lawless(Sudoku):
    """A task that nothing but labels tell right answers of."""

    verify = Task.verify  # type: ignore[assignment]


def test_a_decoder_that_a_budget_or_a_task_has_no_use_for_is_refused() -> None:
    sudoku = task_of(config_of().data)
    with pytest.raises(UserError, match="mode compares samples, and samples=1"):
        decoders_for(("mode",), Budget(3), sudoku)
    assert set(decoders_for(("mode", "last"), Budget(3, 2, 0.1), sudoku)) == {"mode", "last"}
    lawless = Lawless(config_of().data)
    with pytest.raises(UserError, match="verified asks the rules of the task, and 4x4 Sudoku has none"):
        decoders_for(("verified",), Budget(3, 2, 0.1), lawless)
    every = decoder_names(["all"])
    assert every == get_args(DecoderName)
    assert set(every) - set(possible(every, Budget(3), lawless)) == {
        "mode",
        "residual",
        "confidence",
        "verified",
    }
    with pytest.raises(UserError, match="no decoder 'mean'"):
        decoder_names(["mean"])


def test_rules_are_asked_of_every_answer_that_changed() -> None:
    """4x4 boards of 2x2 boxes: tokens are digits + 1."""
    task = task_of(config_of().data)
    board = np.array([[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]], np.uint8).reshape(-1) + 1
    other = np.concatenate([board[4:8], board[:4], board[8:]])  # a solution too, but against the givens
    broken = board.copy()
    broken[0] = 3
    puzzle = np.where(np.arange(16) % 3 == 0, board, 1).astype(np.uint8)
    tokens = np.stack([[broken, board, board, other, board], [broken] * 5])[:, :, None]
    found = judged(task, puzzle[None], tokens)
    np.testing.assert_array_equal(found[..., 0], [[0, 1, 1, 0, 1], [0] * 5])


def test_decoded_answers_are_scored_and_stand_in_the_table() -> None:
    config = config_of()
    state = state_of(config)
    split = split_of(5)
    decoders: tuple[DecoderName, ...] = ("best_q", "mode", "verified")
    evaluator = Evaluator(config, decoders=decoders, budget=Budget(2, 3, 0.3))
    outcomes = evaluator(state.params, state.buffers, split)
    rows = [row for row in outcomes.rows() if row["decoder"] in decoders]
    assert [row["mean_steps"] for row in rows] == [6, 6, 6]  # random weights satisfy no rule
    for row in rows:
        found = outcomes.decoded[row["decoder"]]
        assert row["cells_right"] == found.cells_right.sum()
        assert (row["solved"], row["puzzles"], row["cells"]) == (found.solved.sum(), 5, 80)
    last = [row for row in outcomes.rows() if row["decoder"] == "last" and "band" not in row]
    assert [row["steps"] for row in last] == [1, 2]
