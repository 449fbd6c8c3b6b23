"""One puzzle, worked on in the open. Shapes: N supervision steps, C cells."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trm_scaling.config import RunConfig
from trm_scaling.evaluation.predict import Budget, Params, answer_steps
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
    # One puzzle is quickly worked on and only once: unrolled, compiling would take most of the time.
    rolled = config.model_copy(update={"system": config.system.model_copy(update={"unroll": False})})
    answers = jax.jit(answer_steps, static_argnums=(0, 1))(
        rolled,
        Budget(steps or config.arch.halt_max_steps),
        params,
        buffers,
        jnp.asarray(chosen.inputs)[None],
        jnp.zeros_like(chosen.inputs)[None],
        jnp.full(1, chosen.puzzle_id, jnp.int32),
        jnp.zeros(1, jnp.int32),
        jax.random.key(0),
    )
    logits = np.asarray(answers.q_halt[0, :, 0], np.float64)
    return Trace(np.asarray(answers.tokens[0, :, 0]), 1 / (1 + np.exp(-logits)))
