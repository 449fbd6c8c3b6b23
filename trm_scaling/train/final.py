"""The test split, once: at the best checkpoint and at the last."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from trm_scaling.evaluation.score import Evaluator, Outcomes
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tasks.progress import Progress
from trm_scaling.train.loop import Trained
from trm_scaling.train.state import Params, TrainState, evaluation_params


@dataclass(frozen=True)
class WeightScores:
    """One set of weights on the test split."""

    at: Literal["best", "last"]
    averaged: bool
    """The moving average, or the current weights."""
    step: int
    summary: dict[str, Any]
    """`Outcomes.summary()`."""


@dataclass(frozen=True)
class AverageScores:
    """A further average (`ema_rates`) on the test split."""

    ema_rate: float
    at: Literal["best", "last"]
    """The checkpoint; `best` is that of the average of `ema_rate`, which alone chooses."""
    step: int
    summary: dict[str, Any]
    """`Outcomes.summary()`."""


def score_averages(
    evaluator: Evaluator, dataset: Dataset, trained: Trained, rates: Sequence[float], progress: Progress
) -> list[AverageScores]:
    """Scores of every further average, at the best checkpoint and at the last."""
    scores: list[AverageScores] = []
    for at, state, step in _checkpoints(trained):
        for rate, ema in zip(rates, state.emas, strict=True):
            same = next((s for s in scores if (s.step, s.ema_rate) == (step, rate)), None)
            if same is not None:
                scores.append(replace(same, at=at))
                continue
            params = evaluation_params(state.params, ema)
            outcomes = evaluator(params, state.buffers, dataset.test, progress=progress)
            scores.append(AverageScores(rate, at, step, outcomes.summary()))
    return scores


def score_test_split(
    evaluator: Evaluator, dataset: Dataset, trained: Trained, progress: Progress
) -> tuple[list[WeightScores], Outcomes]:
    """Scores of every set of weights, and the outcomes of the headline one (best, averaged if it can be)."""
    scores: list[WeightScores] = []
    headline: Outcomes | None = None
    for at, averaged, step, params, buffers in _sets_of_weights(trained):
        same = next((s for s in scores if (s.step, s.averaged) == (step, averaged)), None)
        if same is not None:
            scores.append(replace(same, at=at))
            continue
        outcomes = evaluator(params, buffers, dataset.test, progress=progress)
        headline = headline or outcomes
        scores.append(WeightScores(at, averaged, step, outcomes.summary()))
    assert headline is not None
    return scores, headline


def _sets_of_weights(
    trained: Trained,
) -> Iterator[tuple[Literal["best", "last"], bool, int, Params, Params]]:
    """The headline first: best on validation, averaged where there is an average."""
    for at, state, step in _checkpoints(trained):
        if state.ema is not None:
            yield at, True, step, evaluation_params(state.params, state.ema), state.buffers
        yield at, False, step, state.params, state.buffers


def _checkpoints(trained: Trained) -> tuple[tuple[Literal["best", "last"], TrainState, int], ...]:
    return (
        ("best", trained.best, trained.best_step),
        ("last", trained.state, trained.schedule.total_steps),
    )


def outcome_arrays(outcomes: Outcomes, dataset: Dataset) -> dict[str, np.ndarray]:
    """`test_outcomes.npz`: by puzzle (its row in the test split of `dataset`)."""
    return {
        "puzzle": np.arange(len(outcomes.solved), dtype=np.int32),
        "solved": outcomes.solved,
        "halt_step": outcomes.halt_step,
        "rating": outcomes.ratings,
        "data_fingerprint": np.array(dataset.fingerprint),
        "test_fingerprint": np.array(dataset.test_fingerprint),
    }
