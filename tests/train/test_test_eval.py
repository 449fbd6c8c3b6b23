"""Which sets of weights are tested at the end of a run."""

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import jax
import pytest

from tests.train.tiny import TOTAL_STEPS, config_of, split_of, state_of
from trm_scaling.config import Schedule
from trm_scaling.evaluation.score import Evaluator, Outcomes
from trm_scaling.parallel.mesh import device_mesh
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.train.clock import Clock
from trm_scaling.train.loop import Trained
from trm_scaling.train.test_eval import score_test_split


class _Evaluator(Evaluator):
    """Notes what it is asked to evaluate."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.asked: list[Any] = []
        self._outcomes = outcomes

    def __call__(self, params: Any, *others: Any, **more: Any) -> Outcomes:
        self.asked.append(params)
        return self._outcomes


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    from tests.results.test_evaluations import outcomes

    return outcomes(0)


@pytest.mark.parametrize(
    ("changes", "asked", "best_step", "sets"),
    [
        ({}, "headline", 20, [("best", 0.9)]),
        ({"ema": False}, "headline", 20, [("best", None)]),
        ({"ema_rates": [0.5]}, "headline", 20, [("best", 0.9)]),
        ({}, "all", 20, [("best", 0.9), ("best", None), ("last", 0.9), ("last", None)]),
        ({"ema": False}, "all", TOTAL_STEPS, [("best", None), ("last", None)]),
        ({"ema_rates": [0.5]}, "all", 20, [(at, e) for at in ("best", "last") for e in (0.9, None, 0.5)]),
    ],
)
def test_which_weights_are_tested(changes, asked, best_step, sets, outcomes) -> None:
    config = config_of(ema_rate=0.9, system={"test_weights": asked}, **changes)
    state = state_of(config)
    schedule = Schedule(TOTAL_STEPS, TOTAL_STEPS, 0, ())
    trained = Trained(
        state, replace(state), best_step, schedule, Clock(), device_mesh(jax.local_devices()[:1])
    )
    evaluator = _Evaluator(outcomes)
    rows, first, _ = score_test_split(
        evaluator, Mock(spec=Dataset, test=split_of(2), embedded=None), config, trained, lambda *_: None
    )
    assert list(dict.fromkeys((row["at"], row["ema_rate"]) for row in rows)) == sets
    # The same weights at best and at last are evaluated once.
    assert len(evaluator.asked) == len({(at == "best" or best_step == TOTAL_STEPS, e) for at, e in sets})
    assert first is outcomes
