"""One puzzle, thought about aloud. Shapes: N supervision steps, C cells."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trm_scaling.config import RunConfig
from trm_scaling.tasks.task import Chosen
from trm_scaling.train.evaluate import answer_steps
from trm_scaling.train.weights import Weights


class Thoughts(NamedTuple):
    """What a run answers after each supervision step."""

    predictions: np.ndarray
    """(N, C) uint8 tokens."""
    halt_probability: np.ndarray
    """(N,) float64: the halting head's belief that the answer is right."""


def think(config: RunConfig, weights: Weights, chosen: Chosen, steps: int | None = None) -> Thoughts:
    """Work on one puzzle for `steps` supervision steps; None takes the configuration's `halt_max_steps`.

    Uses the moving average of the weights where the run keeps one.
    """
    # One puzzle is quickly worked on and only once: unrolled, compiling would take most of the time.
    rolled = config.model_copy(update={"system": config.system.model_copy(update={"unroll": False})})
    answers = jax.jit(answer_steps, static_argnums=(0, 1))(
        rolled,
        steps or config.arch.halt_max_steps,
        weights.answering(averaged=weights.ema is not None),
        weights.buffers,
        jnp.asarray(chosen.inputs)[None],
        jnp.zeros_like(chosen.inputs)[None],
        jnp.full(1, chosen.puzzle_id, jnp.int32),
    )
    logits = np.asarray(answers.q_halt[:, 0], np.float64)
    return Thoughts(np.asarray(answers.predictions[:, 0]), 1 / (1 + np.exp(-logits)))
