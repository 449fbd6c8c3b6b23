"""Samples: what makes the trajectories of one puzzle differ, drawn from (seed, puzzle, sample, step) alone.

So an answer does not depend on the batch, the mesh, or how many other samples there are. Shapes: B rows, each
one sample of one puzzle; L positions, D width, C cells.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, UInt8

from trm_scaling.config import ArchConfig
from trm_scaling.errors import UserError
from trm_scaling.models.model import BATCH_AXIS, STATES, States, drawn_states
from trm_scaling.tasks.task import Task

_IMAGES, _FIRST_STATE, _FIRST_STEP, _CALLS = 0, 1, 2, 2**31
"""Which stream of a key: the task's symmetries, initial states, noise of calls, then of each step."""


class Budget(NamedTuple):
    """What an evaluation may spend on a puzzle, and how its samples differ."""

    steps: int
    """Supervision steps N (D in papers); nobody halts."""
    samples: int = 1
    """Trajectories S (K in papers). The first is always the plain one: no noise, the fixed initial states,
    the puzzle itself. The fields below say how the others differ."""
    noise: float = 0.0
    """Standard deviation of the normal numbers that are added to z_H before each supervision step (PTRM,
    arXiv 2605.19943). States are normalised: their own deviation is about 1."""
    init: Literal["fixed", "random"] = "fixed"
    """`random`: every position of every state begins at normal numbers of deviation 1, cut at two (EqR, arXiv
    2605.21488; C-voting, 2604.13521)."""
    augment: bool = False
    """Every sample works on another image of the puzzle under the task's symmetries; answers are turned
    back."""

    @property
    def varies(self) -> bool:
        """Whether samples can differ."""
        return self.noise > 0 or self.init == "random" or self.augment

    def check(self, task: Task, arch: ArchConfig) -> None:
        """Raise UserError for samples that could not differ, and for differences that no sample has."""
        if (self.varies and self.samples == 1) or (self.samples > 1 and not (self.varies or arch.draws)):
            raise UserError(
                f"samples={self.samples}, noise={self.noise:g}, init={self.init}, augment={self.augment}: "
                "the first sample is the plain one, and the others differ from it by noise, init=random or "
                "augment. Give 2 samples or more with at least one of these, or samples=1 with none"
            )
        if self.augment and task.maps_ids:
            raise UserError(
                f"augment: each augmentation of {task.title} has its own puzzle embedding, and only "
                "`trm votes` evaluates those; leave augment out"
            )
        if self.augment and type(task).augment is Task.augment:
            raise UserError(f"{task.title} has no symmetries: leave augment out, and give a noise instead")


def row_keys(key: Key[Array, ""], puzzles: Int[Array, " B"], samples: Int[Array, " B"]) -> Key[Array, " B"]:
    """One key for each sample of each puzzle (numbers of the split, from 0)."""
    return jax.vmap(lambda puzzle, sample: jax.random.fold_in(jax.random.fold_in(key, puzzle), sample))(
        puzzles, samples
    )


def first_state(
    budget: Budget, random: bool, keys: Key[Array, " B"], samples: Int[Array, " B"], fixed: States
) -> States:
    """The states that each row begins with: `fixed`, or drawn. A first sample's are drawn only where the
    network has no fixed ones.
    """
    if budget.init == "fixed" and not random:
        return fixed
    drawn = drawn_states(jax.vmap(partial(_stream, _FIRST_STATE))(keys), fixed)
    if random:
        return drawn
    return {name: jnp.where(_along(samples > 0, leaf), drawn[name], leaf) for name, leaf in fixed.items()}


def call_keys(keys: Key[Array, " B"], steps: Int[Array, " B"]) -> Key[Array, " B"]:
    """What `arch.call_noise` is drawn by in the supervision step that follows `steps`."""
    return jax.vmap(lambda key, step: jax.random.fold_in(_stream(_CALLS, key), step))(keys, steps)


def _stream(number: int, key: Key[Array, ""]) -> Key[Array, ""]:
    return jax.random.fold_in(key, number)


def with_noise(
    budget: Budget, keys: Key[Array, " B"], samples: Int[Array, " B"], steps: Int[Array, " B"], state: States
) -> States:
    """`state` before the supervision step that follows `steps`: noise on z_H in every sample but the
    first."""
    if budget.noise == 0:
        return state
    answer = state[STATES[0]]
    shape = (*answer.shape[:BATCH_AXIS], *answer.shape[BATCH_AXIS + 1 :])

    def one(key: Array, step: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(key, _FIRST_STEP + step), shape)

    noise = budget.noise * jax.vmap(one, out_axes=BATCH_AXIS)(keys, steps)
    noisy = answer + noise.astype(answer.dtype)
    return {**state, STATES[0]: jnp.where(_along(samples > 0, answer), noisy, answer)}


def images(
    budget: Budget,
    task: Task,
    key: Key[Array, ""],
    puzzles: Int[Array, " B"],
    samples: Int[Array, " B"],
    inputs: UInt8[Array, "B C"],
    labels: UInt8[Array, "B C"],
) -> tuple[UInt8[Array, "B C"], UInt8[Array, "B C"]]:
    """What each row works on: the puzzle, or its image number `samples` with the label's (0: itself)."""
    if not budget.augment:
        return inputs, labels
    return task.augment(_image_seed(key), puzzles, samples, inputs, labels)


def turned_back(
    budget: Budget,
    task: Task,
    key: Key[Array, ""],
    puzzles: Int[Array, " B"],
    samples: Int[Array, " B"],
    answers: UInt8[Array, "B C"],
) -> UInt8[Array, "B C"]:
    """Answers to `images`, as answers to the puzzles themselves."""
    return task.invert(_image_seed(key), puzzles, samples, answers) if budget.augment else answers


def _image_seed(key: Key[Array, ""]) -> Array:
    return jax.random.bits(jax.random.fold_in(key, _IMAGES), dtype=jnp.uint32)


def _along(rows: Array, leaf: Array) -> Array:
    """(B,) as an array that broadcasts against a state."""
    return rows.reshape(*[1] * BATCH_AXIS, -1, *[1] * (leaf.ndim - BATCH_AXIS - 1))
