"""One puzzle, worked on in the open. Shapes: N supervision steps, C cells."""

from typing import NamedTuple

import numpy as np

from trm_scaling.config import RunConfig
from trm_scaling.evaluation.predict import Answers, Params, Predictor
from trm_scaling.evaluation.samples import Budget
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.task import Chosen


class Trace(NamedTuple):
    """What a model answers after each supervision step."""

    predictions: np.ndarray
    """(N, C) uint8 tokens."""
    halt_probability: np.ndarray
    """(N,) float64: the halting head's belief that the answer is right."""


def trace(
    config: RunConfig, params: Params, buffers: Params, chosen: Chosen, steps: int | None = None
) -> Trace:
    """Work on one puzzle for `steps` supervision steps; None takes the configuration's `halt_max_steps`."""
    budget = Budget(steps or config.arch.halt_max_steps)
    return trace_of(trajectories(config, params, buffers, chosen, budget), 0)


def trajectories(
    config: RunConfig,
    params: Params,
    buffers: Params,
    chosen: Chosen,
    budget: Budget,
) -> Answers:
    """All samples of one puzzle, (S, N, 1, ...). What is random is drawn by the run's seed."""
    # One puzzle is quickly worked on and only once: unrolled, compiling would take most of the time.
    rolled = config.model_copy(update={"system": config.system.model_copy(update={"unroll": False})})
    ids = np.full(1, chosen.puzzle_id, np.int32)
    one = Split(chosen.inputs[None], np.zeros_like(chosen.inputs)[None], puzzle_ids=ids)
    (answers,) = Predictor(rolled, budget)(params, buffers, one)
    return answers


def trace_of(answers: Answers, sample: int) -> Trace:
    """One of the `trajectories`."""
    logits = np.asarray(answers.q_halt[sample, :, 0], np.float64)
    return Trace(np.asarray(answers.tokens[sample, :, 0]), 1 / (1 + np.exp(-logits)))
