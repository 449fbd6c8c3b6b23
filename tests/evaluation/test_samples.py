"""Trajectories: what they depend on, and what they do not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from tests.evaluation.test_predict import restless
from tests.train.tiny import C, config_of, split_of, state_of
from trm_scaling.errors import UserError
from trm_scaling.evaluation.predict import Answers, Predictor
from trm_scaling.evaluation.samples import Budget, images, turned_back
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.task import task_of

PUZZLES = 5
VARIED = Budget(3, samples=4, noise=0.5, init="random", augment=True)
STATE = restless(state_of(config_of()))


def predictor(rows: int, budget: Budget, mesh: Mesh | None = None) -> Predictor:
    return Predictor(config_of(system={"eval_batch_size": rows}), budget, mesh)


def answers_of(
    rows: int, budget: Budget, split: Split | None = None, seed: int = 3, mesh: Mesh | None = None
) -> Answers:
    """(S, N, B, ...) by batches of `rows` rows."""
    given = split_of(PUZZLES) if split is None else split
    parts = [*predictor(rows, budget, mesh)(STATE.params, STATE.buffers, given, key=jax.random.key(seed))]
    return Answers(*(np.concatenate(leaves, axis=2) for leaves in zip(*parts, strict=True)))  # type: ignore[arg-type]


WHOLE = answers_of(100, VARIED)


def assert_alike(one: Answers, other: Answers) -> None:
    for name in ("q_halt", "loss", "confidence", "change"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=2e-4, err_msg=name)


@pytest.mark.parametrize("rows", [1, 3, 4, 7])
def test_the_batch_does_not_show(rows: int) -> None:
    """Whether puzzles are cut by a batch's end or not."""
    assert WHOLE.tokens.shape == (4, 3, PUZZLES, C)
    found = answers_of(rows, VARIED)
    assert_alike(found, WHOLE)
    np.testing.assert_array_equal(found.tokens, WHOLE.tokens)


def test_it_repeats_to_the_bit() -> None:
    for one, other in zip(answers_of(100, VARIED), WHOLE, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_seed_decides_but_not_of_the_first_sample() -> None:
    other = answers_of(100, VARIED, seed=4)
    np.testing.assert_array_equal(other.q_halt[0], WHOLE.q_halt[0])
    assert np.abs(np.asarray(other.q_halt[1:]) - WHOLE.q_halt[1:]).min() > 0


@pytest.mark.parametrize(
    "budget",
    [Budget(3, 4, noise=0.5), Budget(3, 4, init="random"), Budget(3, 4, augment=True)],
    ids=["noise", "init", "augment"],
)
def test_each_way_alone_makes_samples_differ_and_leaves_the_first(budget: Budget) -> None:
    plain, found = answers_of(100, Budget(3)), answers_of(100, budget)
    np.testing.assert_allclose(found.q_halt[0], plain.q_halt[0], atol=2e-4)
    pairs = [(i, j) for i in range(4) for j in range(i)]
    assert all(np.abs(np.asarray(found.loss[i]) - found.loss[j]).max() > 1e-3 for i, j in pairs)


def test_a_part_of_the_steps_or_of_the_samples_is_what_a_smaller_budget_gives() -> None:
    few = answers_of(100, VARIED._replace(steps=2, samples=3))
    assert_alike(few, Answers(*(np.asarray(leaf)[:3, :2] for leaf in WHOLE)))  # type: ignore[arg-type]


def test_a_puzzle_keeps_its_noise_when_others_are_left_out() -> None:
    """The number of the puzzle in its split counts, not its place in a batch."""
    parts = [
        *predictor(3, VARIED)(
            STATE.params, STATE.buffers, split_of(PUZZLES), 4, key=jax.random.key(3), first=2
        )
    ]
    found = Answers(*(np.concatenate(leaves, axis=2) for leaves in zip(*parts, strict=True)))  # type: ignore[arg-type]
    assert_alike(found, Answers(*(np.asarray(leaf)[:, :, 2:4] for leaf in WHOLE)))  # type: ignore[arg-type]


def test_answers_to_images_are_turned_back() -> None:
    """The label of every image, turned back, is the label of the puzzle."""
    budget, task, key, eight = (
        Budget(1, 8, augment=True),
        task_of(config_of().data),
        jax.random.key(0),
        jnp.arange(8),
    )
    inputs, labels = (jnp.asarray(each) for each in (split_of(8).inputs, split_of(8).labels))
    seen, wanted = images(budget, task, key, eight, eight, inputs, labels)
    assert (seen != inputs).any(axis=1).tolist() == [False, *[True] * 7]
    np.testing.assert_array_equal(turned_back(budget, task, key, eight, eight, wanted), labels)


def test_memory_is_that_of_the_evaluation_batch_whatever_the_samples() -> None:
    """128 samples of 50 puzzles are worked on in batches of at most 16 rows, by one program."""
    for samples in (1, 2, 128):
        budget = Budget(2, samples, 0.1 if samples > 1 else 0.0)
        assert predictor(16, budget).rows_at_once(50) == 16
    assert predictor(16, Budget(2, 3, 0.1)).rows_at_once(4) == 12
    yielded = [
        each.q_halt.shape
        for each in predictor(16, Budget(1, 40, 0.1))(STATE.params, STATE.buffers, split_of(3))
    ]
    assert yielded == [(40, 1, 1)] * 3  # handed on as soon as a puzzle has all its samples


@pytest.mark.parametrize("budget", [Budget(3, 2), Budget(3, 1, 0.5), Budget(3, 1, augment=True)])
def test_samples_and_what_makes_them_differ_come_together(budget: Budget) -> None:
    with pytest.raises(UserError, match=f"samples={budget.samples}, noise"):
        Predictor(config_of(), budget)
