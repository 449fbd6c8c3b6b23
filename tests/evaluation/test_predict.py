"""Evaluation: what it counts, in batches of any size, for any number of steps."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.tiny import VOCAB, C, config_of, split_of, state_of
from trm_scaling.checkpoint.store import CheckpointStore
from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError
from trm_scaling.evaluation.score import Evaluator, Outcomes
from trm_scaling.evaluation.trace import trace
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.models.model import puzzle_rows, step
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.task import Chosen, task_of
from trm_scaling.train.state import TrainState, init_state
from trm_scaling.train.weights import load_weights, weights_of

PUZZLES = 7
CONFIG = config_of(system={"eval_batch_size": PUZZLES})


def restless(state: TrainState) -> TrainState:
    """A state whose answers and halting logits differ from puzzle to puzzle and step to step."""
    params = {**state.params, "lm_head": 20 * state.params["lm_head"]}
    params["q_head"] = {"weight": jax.random.normal(jax.random.key(5), (16, 2)), "bias": jnp.zeros(2)}
    return dataclasses.replace(state, params=params)


STATE = restless(state_of(CONFIG))


def by_hand(config: RunConfig, split: Split, steps: int) -> dict[str, np.ndarray]:
    """Every puzzle alone, a step at a time."""
    found: dict[str, list[Any]] = {"predictions": [], "q_halt": [], "logits": []}
    forward = jax.jit(step, static_argnums=0)
    rows = puzzle_rows(STATE.params, jnp.zeros(1, jnp.int32))
    for inputs in split.inputs:
        length = config.arch.prefix_len + C
        state = {f"z_{name}": jnp.tile(STATE.buffers[f"{name}_init"], (length, 1, 1)) for name in "HL"}
        predictions, q_halt, logits = [], [], []
        for _ in range(steps):
            out = forward(config.arch, STATE.params, state, jnp.asarray(inputs[None]), rows)
            state = out.state
            predictions.append(np.argmax(out.logits[0], -1))
            q_halt.append(out.q_halt[0])
            logits.append(np.asarray(out.logits[0], np.float64))
        found["predictions"].append(predictions)
        found["q_halt"].append(q_halt)
        found["logits"].append(logits)
    return {name: np.array(values) for name, values in found.items()}


def labelled(predictions: np.ndarray, **fields: Any) -> Split:
    """The split whose solutions are what the model answers last, so that some are solved."""
    return dataclasses.replace(split_of(PUZZLES), labels=predictions[:, -1].astype(np.uint8), **fields)


EXPECTED = by_hand(CONFIG, split_of(PUZZLES), steps=3)
SPLIT = labelled(np.maximum(EXPECTED["predictions"], 1))


def evaluate(
    batch: int = PUZZLES, steps: int | None = None, split: Split = SPLIT, limit: int | None = None
) -> Outcomes:
    config = config_of(system={"eval_batch_size": batch})
    return Evaluator(config, steps)(STATE.params, STATE.buffers, split, limit)


def broken_state(state: TrainState = STATE) -> TrainState:
    params = {**state.params, "lm_head": state.params["lm_head"].at[0, :3].set(jnp.nan)}
    return dataclasses.replace(state, params=params)


def test_weights_that_are_not_finite_are_not_evaluated() -> None:
    params = broken_state().params
    with pytest.raises(UserError, match=rf"lm_head holds 3 values of {params['lm_head'].size}"):
        Evaluator(CONFIG)(params, STATE.buffers, split_of(PUZZLES))


def test_a_checkpoint_of_weights_that_are_not_finite_is_not_loaded(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with CheckpointStore(folder.checkpoints, keep=1) as store:
        # Of one puzzle identifier, as every Sudoku run is.
        store.save(7, weights_of(broken_state(init_state(CONFIG, VOCAB, C, 1))), {}, score=None)
    with pytest.raises(UserError, match=r"step 7: params/lm_head holds 3 values"):
        load_weights(folder, CONFIG, "last")


def assert_equal(one: Outcomes, other: Outcomes) -> None:
    for field in dataclasses.fields(Outcomes):
        if field.name == "decoded":
            continue
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if ours is None:
            assert theirs is None
            continue
        assert ours.dtype == theirs.dtype
        if field.name in ("q_halt", "loss"):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
        else:
            np.testing.assert_array_equal(ours, theirs)


def test_an_evaluation_is_a_loop_over_puzzles_and_steps() -> None:
    outcomes = evaluate()
    right = EXPECTED["predictions"] == SPLIT.labels[:, None]
    np.testing.assert_array_equal(outcomes.cells_right, right.sum(-1))
    np.testing.assert_array_equal(outcomes.solved, right.all(-1))
    np.testing.assert_allclose(outcomes.q_halt, EXPECTED["q_halt"], atol=1e-4)
    s = np.where(EXPECTED["logits"] < 0, 1 / (1 - EXPECTED["logits"]), EXPECTED["logits"] + 1)
    of_label = np.take_along_axis(s, SPLIT.labels[:, None, :, None].astype(int), -1)[..., 0]
    np.testing.assert_allclose(outcomes.loss, np.log(s.sum(-1) / of_label).mean(-1), atol=1e-4)
    np.testing.assert_array_equal(outcomes.cells, [C] * PUZZLES)
    np.testing.assert_array_equal(outcomes.ratings, [-1] * PUZZLES)
    assert outcomes.solved[:, -1].sum() > outcomes.solved[:, 0].sum(), "the comparison tells steps apart"


@pytest.mark.parametrize("batch", [1, 3, 4, 100])
def test_the_batch_size_does_not_show(batch: int) -> None:
    assert_equal(evaluate(batch), evaluate())


def test_every_puzzle_counts_once_and_padding_never() -> None:
    padded = evaluate(batch=5)  # 5 + 2, and 3 rows of padding
    assert padded.solved.shape == padded.q_halt.shape == padded.cells_right.shape == (PUZZLES, 3)
    assert padded.summary()["final"]["puzzles"] == PUZZLES
    assert padded.summary()["final"]["cells"] == PUZZLES * C


def test_the_number_of_steps_is_the_configurations_or_the_one_asked_for() -> None:
    three, two, five = evaluate(), evaluate(steps=2), evaluate(steps=5)
    assert (three.solved.shape[1], two.solved.shape[1], five.solved.shape[1]) == (3, 2, 5)
    np.testing.assert_array_equal(two.cells_right, three.cells_right[:, :2])
    np.testing.assert_array_equal(five.cells_right[:, :3], three.cells_right)


def test_a_limit_takes_the_first_puzzles() -> None:
    ratings = np.arange(PUZZLES, dtype=np.int32)
    split = dataclasses.replace(SPLIT, difficulty=ratings)
    whole, few = evaluate(split=split), evaluate(split=split, limit=3, batch=2)
    np.testing.assert_array_equal(few.solved, whole.solved[:3])
    np.testing.assert_array_equal(few.ratings, ratings[:3])
    assert len(evaluate(split=split, limit=100).solved) == PUZZLES


def test_only_labelled_cells_count() -> None:
    labels = SPLIT.labels.copy()
    labels[0, :6] = 0
    labels[1, 1:] = 0
    outcomes = evaluate(split=dataclasses.replace(SPLIT, labels=labels))
    np.testing.assert_array_equal(outcomes.cells, [10, 1, *[C] * (PUZZLES - 2)])
    right = (EXPECTED["predictions"] == labels[:, None]) & (labels[:, None] > 0)
    np.testing.assert_array_equal(outcomes.cells_right, right.sum(-1))
    np.testing.assert_array_equal(outcomes.solved, right.sum(-1) == outcomes.cells[:, None])


def test_a_puzzle_without_labels_is_not_solved() -> None:
    labels = SPLIT.labels.copy()
    labels[2] = 0
    outcomes = evaluate(split=dataclasses.replace(SPLIT, labels=labels))
    assert not outcomes.solved[2].any()
    assert outcomes.cells[2] == 0


def test_thinking_about_one_puzzle_is_the_same_work() -> None:
    chosen = Chosen(task_of(CONFIG.data), "a puzzle", SPLIT.inputs[4], SPLIT.labels[4])
    found = trace(CONFIG, STATE.params, STATE.buffers, chosen, steps=3)
    np.testing.assert_array_equal(found.predictions, EXPECTED["predictions"][4])
    np.testing.assert_allclose(
        found.halt_probability, 1 / (1 + np.exp(-EXPECTED["q_halt"][4].astype(np.float64))), atol=1e-4
    )
