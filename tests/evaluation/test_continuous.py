"""Continuous batching gives each puzzle the answer that the fixed-step evaluator gives it."""

import jax
import numpy as np
import pytest

from tests.evaluation.test_predict import restless
from tests.train.tiny import config_of, split_of, state_of
from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError
from trm_scaling.evaluation.continuous import Stop, Stopped, StoppingPredictor
from trm_scaling.evaluation.decode import Choice, candidates_of, decoder
from trm_scaling.evaluation.predict import Answers, Predictor
from trm_scaling.evaluation.samples import Budget
from trm_scaling.evaluation.score import judged
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.sudoku.task import Sudoku
from trm_scaling.tasks.task import task_of

PUZZLES = 23
STATE = restless(state_of(config_of()))
STATE.params["q_head"]["bias"] = np.full(2, -3.0, np.float32)  # some halt at once, some never
KEY = jax.random.key(2)


def config(rows: int) -> RunConfig:
    return config_of(system={"eval_batch_size": rows})


def fixed(budget: Budget, stop: Stop, split: Split, rows: int) -> tuple[Answers, Choice]:
    """The fixed-step evaluator's answers, and the choice of the decoder of that name."""
    parts = [*Predictor(config(rows), budget)(STATE.params, STATE.buffers, split, key=KEY)]
    answers = Answers(*(np.concatenate(leaves, axis=2) for leaves in zip(*parts, strict=True)))  # type: ignore[arg-type]
    tokens = np.asarray(answers.tokens)
    valid = judged(task_of(config(1).data), split.inputs, tokens)
    return answers, decoder(stop)(candidates_of(answers, valid, valid))


def stopping(budget: Budget, stop: Stop, split: Split, rows: int) -> Stopped:
    return StoppingPredictor(config(rows), budget, stop)(STATE.params, STATE.buffers, split, key=KEY)


def assert_the_same(budget: Budget, stop: Stop, split: Split, rows: int) -> np.ndarray:
    answers, choice = fixed(budget, stop, split, rows)
    found = stopping(budget, stop, split, rows)
    np.testing.assert_array_equal(found.tokens, choice.of(np.asarray(answers.tokens)))
    # The suite compiles without optimisation, and then a batch of another make-up rounds otherwise (most with
    # jax 0.11: 6e-5).
    np.testing.assert_allclose(found.q_halt, choice.of(np.asarray(answers.q_halt)), rtol=2e-4, atol=2e-4)
    np.testing.assert_array_equal(found.spent, choice.spent)
    return choice.spent


@pytest.mark.parametrize("rows", [1, 4, 40])
def test_under_the_halting_rule_the_answers_are_the_same_to_the_bit(rows: int) -> None:
    """Whether rows are refilled often, once, or never."""
    spent = assert_the_same(Budget(6), "halting", split_of(PUZZLES), rows)
    assert 1 < spent.mean() < 6
    assert {1, 6} <= set(spent.tolist())


def test_verified_tries_sample_after_sample_and_stops_at_the_first_that_keeps_the_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rules are planted: an answer keeps them where the sum of its tokens divides by seven."""

    def verify(self: object, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return answers.sum(-1, dtype=np.int64) % 7 == 0

    monkeypatch.setattr(Sudoku, "verify", verify)
    budget = Budget(4, 3, noise=0.7, init="random", augment=True)
    spent = assert_the_same(budget, "verified", split_of(PUZZLES), 4)
    assert {1, 2} <= set(spent.tolist())
    assert spent.max() > 4, "some need a second sample"


def test_a_puzzle_that_nothing_solves_gets_the_answer_of_the_highest_logit() -> None:
    spent = assert_the_same(Budget(2, 2, noise=0.5), "verified", split_of(5), 3)
    assert (spent == 4).all()


def test_what_could_not_stop_is_refused() -> None:
    with pytest.raises(UserError, match="samples=2 with stop=halting"):
        StoppingPredictor(config(4), Budget(3, 2, 0.1), "halting")
