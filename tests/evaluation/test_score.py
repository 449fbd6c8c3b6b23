"""Numbers drawn from an evaluation. M puzzles, N supervision steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.evaluation.score import Outcomes
from trm_scaling.models.act import halt, wants_to_halt
from trm_scaling.tasks.manifest import histogram
from trm_scaling.tasks.scoring import interval
from trm_scaling.train.metrics import validation_score

SOLVED = np.array([[0, 1, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]], bool)
Q_HALT = np.array([[-1, 2, -3], [-1, -1, -1], [5, 5, 5], [0, 0, 1]], np.float32)
CELLS = np.array([16, 16, 10, 16], np.int32)
RIGHT = np.array([[8, 16, 16], [2, 3, 16], [10, 9, 8], [0, 1, 2]], np.int32)
RATINGS = np.array([0, 3, 4, 300], np.int32)
LOSS = np.array([[4, 2, 1], [3, 3, 2], [0, 1, 5], [2, 2, 2]], np.float32)
OUTCOMES = Outcomes(SOLVED, RIGHT, CELLS, Q_HALT, LOSS, RATINGS)


def rated(ratings: list[int]) -> list[dict[str, object]]:
    count = len(ratings)
    solved = np.array([[rating == 0] for rating in ratings])
    ones = np.ones((count, 1), np.int32)
    logits = loss = ones.astype(np.float32)
    outcomes = Outcomes(solved, ones, ones[:, 0], logits, loss, np.array(ratings, np.int32))
    found = outcomes.summary()["by_rating"]
    assert isinstance(found, list)
    return found


def test_the_halting_rule_takes_the_first_positive_logit_else_the_last_step() -> None:
    halt_step = OUTCOMES.halt_step
    np.testing.assert_array_equal(halt_step, [2, 3, 1, 3])  # a logit of zero is not yet a wish
    assert halt_step.dtype == np.int32


def test_counts_and_rates_at_the_end() -> None:
    final = OUTCOMES.summary()["final"]
    assert (final["solved"], final["puzzles"], final["exact_rate"]) == (2, 4, 0.5)
    assert (final["cells_right"], final["cells"]) == (42, 58)
    assert final["cell_rate"] == 42 / 58
    assert final["loss"] == 2.5  # every puzzle counts alike, whatever its cells
    assert final["interval_95"] == pytest.approx(list(interval(2, 4) or ()))


def test_every_step_has_its_own_counts() -> None:
    steps = OUTCOMES.summary()["by_step"]
    assert [step["supervision_step"] for step in steps] == [1, 2, 3]
    assert [step["solved"] for step in steps] == [1, 1, 2]
    assert [step["cells_right"] for step in steps] == [20, 29, 42]
    assert {step["puzzles"] for step in steps} == {4}


def test_under_the_halting_rule_each_puzzle_answers_at_its_own_step() -> None:
    rule = OUTCOMES.summary()["halting_rule"]
    assert rule["solved"] == 3  # the third had it right at step 1 and lost it later
    assert rule["mean_steps"] == 9 / 4
    assert rule["steps_histogram"] == [1, 1, 2]


def test_bands_of_difficulty_hold_every_puzzle_once() -> None:
    bands = OUTCOMES.summary()["by_rating"]
    assert [(band["ratings"], band["solved"], band["puzzles"]) for band in bands] == [
        ("0", 1, 1),
        ("1-3", 1, 1),
        ("4-15", 0, 1),
        ("256+", 0, 1),
    ]


@pytest.mark.parametrize(
    ("rating", "label"),
    [
        *((0, "0"), (1, "1-3"), (3, "1-3"), (4, "4-15"), (15, "4-15"), (16, "16-63"), (63, "16-63")),
        *((64, "64-255"), (255, "64-255"), (256, "256+"), (10**6, "256+"), (-1, "unrated")),
    ],
)
def test_the_edges_of_the_bands(rating: int, label: str) -> None:
    assert [band["ratings"] for band in rated([rating])] == [label]


def test_rated_and_unrated_puzzles_stand_apart() -> None:
    bands = rated([-1, 0, -1, 0, 2])
    assert [(band["ratings"], band["puzzles"]) for band in bands] == [("0", 2), ("1-3", 1), ("unrated", 2)]


def test_a_summary_is_plain_json() -> None:
    import json

    summary = OUTCOMES.summary()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_training_and_evaluation_halt_at_the_same_logits() -> None:
    logits = np.array([-1, -0.0, 0, 1e-30, 3], np.float32)
    steps = jnp.ones(len(logits), jnp.int32)
    trained = np.asarray(halt(jax.random.key(0), steps, jnp.asarray(logits), 0.0, max_steps=16))
    ones = np.ones((len(logits), 2), np.int32)
    after = np.stack([logits, np.full_like(logits, -1)], axis=1)
    evaluated = Outcomes(ones > 0, ones, ones[:, 0], after, after, ones[:, 0]).halt_step == 1
    np.testing.assert_array_equal(trained, evaluated)
    np.testing.assert_array_equal(trained, wants_to_halt(logits))


def test_a_dataset_and_an_evaluation_speak_of_difficulty_by_one_scale() -> None:
    ratings = [0, 1, 3, 4, 15, 16, 63, 64, 255, 256, 9999]
    of_evaluation = {band["ratings"]: band["puzzles"] for band in rated(ratings)}
    assert histogram(np.array(ratings, np.int32)) == of_evaluation


def test_one_more_solved_puzzle_beats_any_share_of_right_cells() -> None:
    assert validation_score(4, 0.2) > validation_score(3, 1.0)
    assert validation_score(3, 0.9) > validation_score(3, 0.8)
