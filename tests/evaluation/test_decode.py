"""Decoders on answers written by hand: S samples, N steps, B puzzles, C = 2 cells."""

import jax
import numpy as np
import pytest

from tests.train.tiny import config_of, split_of, state_of
from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError
from trm_scaling.evaluation.decode import decoder, decoders_for
from trm_scaling.evaluation.predict import Answers, Budget, Predictor
from trm_scaling.evaluation.score import Evaluator


def answers_of(tokens: list[list[list[int]]], q_halt: list[list[list[float]]]) -> Answers:
    """One number an answer, (S, N, B), standing in both cells."""
    grid = np.repeat(np.array(tokens, np.uint8)[..., None], 2, axis=-1)
    logits = np.array(q_halt, np.float32)
    return Answers(grid, logits, np.zeros_like(logits))  # type: ignore[arg-type]


ONE = answers_of([[[1, 1], [2, 2], [3, 3]]], [[[-1, -1], [1, -2], [0, -3]]])
"""One sample, three steps, two puzzles: the first halts at step 2, the second never."""

THREE = answers_of(
    [[[9, 1]], [[5, 2]], [[5, 3]]],
    [[[3.0, -1.0]], [[1.0, 4.0]], [[2.0, 0.0]]],
)
"""Three samples, one step: two agree on the first puzzle, none on the second."""


@pytest.mark.parametrize(
    ("name", "answers", "tokens", "steps"),
    [
        ("last", ONE, [3, 3], [3, 3]),
        ("last", THREE, [9, 1], [1, 1]),
        ("halting", ONE, [2, 3], [2, 3]),
        ("best_q", ONE, [2, 1], [3, 3]),
        ("best_q", THREE, [9, 2], [3, 3]),
        ("mode", THREE, [5, 2], [3, 3]),
    ],
)
def test_which_answer_counts(name, answers, tokens, steps) -> None:
    found = decoder(name)(answers)
    np.testing.assert_array_equal(found.tokens, np.repeat(np.array(tokens)[:, None], 2, 1))
    np.testing.assert_array_equal(found.steps, steps)


def test_a_decoder_of_samples_is_refused_where_there_is_one() -> None:
    with pytest.raises(UserError, match="mode"):
        decoders_for(("mode",), Budget(3))
    assert set(decoders_for(("mode", "last"), Budget(3, 2, 0.1))) == {"mode", "last"}


@pytest.mark.parametrize("budget", [Budget(3, 2), Budget(3, 1, 0.5)])
def test_samples_and_noise_come_together(budget: Budget) -> None:
    with pytest.raises(UserError, match="samples"):
        Predictor(config_of(), budget)


def of_batches(config: RunConfig, key: jax.Array) -> Answers:
    """Three samples of two steps each, of seven puzzles in batches of the configuration's size."""
    state = state_of(config)
    predict = Predictor(config, Budget(2, samples=3, noise=0.5))
    parts = [*predict(state.params, state.buffers, split_of(7), key=key)]
    return Answers(*(np.concatenate(leaves, axis=2) for leaves in zip(*parts, strict=True)))  # type: ignore[arg-type]


def test_noise_is_a_function_of_key_and_puzzle_whatever_the_batch() -> None:
    key = jax.random.key(3)
    whole = of_batches(config_of(system={"eval_batch_size": 7}), key)
    assert whole.tokens.shape == (3, 2, 7, 16)
    np.testing.assert_allclose(
        of_batches(config_of(system={"eval_batch_size": 3}), key).loss, whole.loss, atol=1e-4
    )
    other = of_batches(config_of(system={"eval_batch_size": 7}), jax.random.key(4))
    np.testing.assert_array_equal(other.loss[0], whole.loss[0])
    assert not np.allclose(other.loss[1:], whole.loss[1:])
    assert not np.allclose(whole.loss[1], whole.loss[2])


def test_decoded_answers_are_scored_and_stand_in_the_table() -> None:
    config = config_of()
    state = state_of(config)
    split = split_of(5)
    evaluator = Evaluator(config, 2, decoders=("best_q", "mode"), samples=3, noise=0.3)
    outcomes = evaluator(state.params, state.buffers, split)
    rows = [row for row in outcomes.rows() if row["decoder"] in ("best_q", "mode")]
    assert [row["mean_steps"] for row in rows] == [6, 6]
    for row in rows:
        found = outcomes.decoded[row["decoder"]]
        assert row["cells_right"] == found.cells_right.sum()
        assert (row["solved"], row["puzzles"], row["cells"]) == (found.solved.sum(), 5, 80)
    last = [row for row in outcomes.rows() if row["decoder"] == "last" and "band" not in row]
    assert [row["steps"] for row in last] == [1, 2]
