"""The D x K surface of one evaluation, against an evaluation of each budget."""

import json

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.test_decode import given as candidates
from tests.evaluation.test_predict import restless
from tests.train.tiny import config_of, split_of, state_of
from trm_scaling.evaluation.decode import decoder_names
from trm_scaling.evaluation.samples import Budget
from trm_scaling.evaluation.score import Evaluator
from trm_scaling.evaluation.surface import SUB_SAMPLES, Grid, SurfaceBudget, SurfaceCounts, measure
from trm_scaling.tasks.dataset import Split

PUZZLES = 6
CONFIG = config_of(system={"eval_batch_size": 10})
STATE = restless(state_of(CONFIG))
EVERY = decoder_names(["all"])
BUDGET = Budget(4, samples=4, noise=0.4, init="random")
KEY = jax.random.key(1)


def answered() -> Split:
    """Puzzles whose labels are what some sample answers at some step, so that decoders differ."""
    from trm_scaling.evaluation.predict import Predictor

    split = split_of(PUZZLES)
    parts = [
        np.asarray(each.tokens)
        for each in Predictor(CONFIG, BUDGET)(STATE.params, STATE.buffers, split, key=KEY)
    ]
    tokens = np.concatenate(parts, axis=2)
    places = [(0, 3), (1, 3), (2, 1), (3, 3), (1, 0), (3, 2)]
    labels = np.stack([tokens[sample, step, puzzle] for puzzle, (sample, step) in enumerate(places)])
    return Split(split.inputs, labels, puzzle_ids=split.puzzle_ids)


SPLIT = answered()
WHOLE = measure(
    CONFIG, BUDGET, STATE.params, STATE.buffers, SPLIT, SurfaceCounts(Grid.of(BUDGET), EVERY), key=KEY
)


@settings(max_examples=8)
@given(st.sampled_from(Grid.of(BUDGET).steps), st.sampled_from(Grid.of(BUDGET).samples))
def test_every_place_is_what_an_evaluation_of_that_budget_finds(steps: int, samples: int) -> None:
    """An evaluation with S samples has the first S: the sub-samples that hold them are compared."""
    budget = BUDGET._replace(steps=steps, samples=samples)
    if samples == 1:
        budget = Budget(steps)
    able = [name for name in EVERY if samples > 1 or name not in ("mode", "residual", "confidence")]
    evaluator = Evaluator(CONFIG, decoders=able, budget=budget)
    found = evaluator(STATE.params, STATE.buffers, SPLIT, key=KEY)
    first = [each.tolist() for each in WHOLE.grid.sub_samples(samples)].index([*range(samples)])
    for name in able:
        assert WHOLE.solved[SurfaceBudget(steps, samples, name)][first] == found.decoded[name].solved.sum(), (
            name
        )
    assert WHOLE.solved[SurfaceBudget(steps, samples, "last")][first] == found.solved[:, -1].sum()


def test_the_planted_answers_tell_decoders_and_budgets_apart() -> None:
    rows = {(row["steps"], row["samples"], row["decoder"]): row for row in WHOLE.rows()}
    assert rows[4, 4, "oracle"]["solved"] == PUZZLES
    assert rows[4, 1, "last"]["solved"] < rows[4, 2, "oracle"]["solved"] < PUZZLES
    assert len({rows[4, 4, name]["solved"] for name in EVERY}) > 2
    assert {row["usable"] for row in rows.values() if row["decoder"] == "oracle"} == {False}
    for row in rows.values():
        assert row["accuracy"] <= rows[row["steps"], row["samples"], "oracle"]["accuracy"]
        assert row["puzzles_95"][0] <= row["accuracy"] <= row["puzzles_95"][1]
    assert json.loads(json.dumps([*rows.values()], allow_nan=False)) == [*rows.values()]


def test_sub_samples_hold_the_plain_one_and_repeat() -> None:
    grid = Grid.of(Budget(4, 32, 0.1))
    assert grid.samples == (1, 2, 4, 8, 16, 32)
    assert Grid.of(Budget(6)).steps == (1, 2, 4, 6)
    for size in grid.samples:
        drawn = grid.sub_samples(size)
        assert 1 <= len(drawn) <= SUB_SAMPLES
        assert all(len(set(each.tolist())) == size and each[0] == 0 for each in drawn)
        np.testing.assert_array_equal(drawn, grid.sub_samples(size))
    assert len(grid.sub_samples(8)) > 30


def test_an_interval_over_sub_samples_is_what_they_scatter_by() -> None:
    """One puzzle of three samples, of which the last is right: half of the pairs with the first find it."""
    answers = candidates([[[1]], [[2]], [[5]]], [[[0.0]], [[1.0]], [[2.0]]])
    counts = SurfaceCounts(Grid((1,), (1, 2, 3)), ("best_q", "oracle"))
    counts.add(answers)
    rows = {(row["samples"], row["decoder"]): row for row in counts.rows()}
    assert [rows[size, "oracle"]["accuracy"] for size in (1, 2, 3)] == [0, 0.5, 1]
    assert rows[2, "oracle"]["sub_samples"] == 2
    assert rows[2, "oracle"]["sub_samples_95"] == pytest.approx([0.025, 0.975])
    assert rows[3, "oracle"]["sub_samples_95"] is None
    assert rows[3, "best_q"]["mean_steps"] == 3


def test_a_surface_that_was_interrupted_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm_scaling.evaluation.surface.AT_ONCE", 2)
    kept: list[str] = []

    def stop(counts: SurfaceCounts) -> None:
        kept.append(json.dumps(counts.state()))
        if len(kept) == 2:
            raise KeyboardInterrupt

    given = CONFIG, BUDGET, STATE.params, STATE.buffers, SPLIT
    with pytest.raises(KeyboardInterrupt):
        measure(*given, SurfaceCounts(Grid.of(BUDGET), EVERY), key=KEY, counted=stop)
    resumed = SurfaceCounts(Grid.of(BUDGET), EVERY)
    resumed.restore(json.loads(kept[-1]))
    assert 0 < resumed.puzzles < PUZZLES
    measure(*given, resumed, key=KEY)
    assert [*resumed.rows()] == [*WHOLE.rows()]
