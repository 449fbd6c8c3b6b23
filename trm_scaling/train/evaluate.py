"""Evaluation: every supervision step's answers from one pass over the puzzles.

Shapes: M puzzles, N supervision steps, B evaluation batch, C cells.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Bool, Float, Int, UInt8

from trm_scaling.config import RunConfig
from trm_scaling.losses import trm_losses
from trm_scaling.models import begin, empty_carry, forward
from trm_scaling.parallel.mesh import device_mesh, platform_of
from trm_scaling.parallel.sharding import WHOLE, batch_spec, on_mesh, placed
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.progress import Progress, silent
from trm_scaling.train.outcomes import Outcomes
from trm_scaling.train.step import cross_entropy_of
from trm_scaling.train.weights import refuse_nonfinite

Params = dict[str, Any]


class StepAnswers(NamedTuple):
    """The answers of one batch after each of N steps."""

    predictions: UInt8[Array, "N B C"]
    q_halt: Float[Array, "N B"]
    loss: Float[Array, "N B"]
    """Mean cross-entropy over the labelled cells; 0 where there is none."""


def answer_steps(
    config: RunConfig,
    steps: int,
    params: Params,
    buffers: Params,
    inputs: UInt8[Array, "B C"],
    labels: UInt8[Array, "B C"],
    puzzle_ids: Int[Array, " B"],
    platform: str | None = None,
) -> StepAnswers:
    """Work on `inputs` for `steps` supervision steps from the initial states, nobody halting.

    Labels are what the loss is taken against (0: none); nothing else depends on them. `platform` as in
    `forward`.
    """
    batch, seq_len = inputs.shape
    carry = begin(empty_carry(config.arch, batch, seq_len), buffers, inputs, labels, puzzle_ids)

    def step(states: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], StepAnswers]:
        out = forward(
            config.arch,
            params,
            *states,
            inputs,
            puzzle_ids,
            unroll=config.system.unroll,
            gate_kernels=config.system.gate_kernel,
            differentiated=False,
            platform=platform,
        )
        predictions = jnp.argmax(out.logits, axis=-1).astype(jnp.uint8)
        losses = trm_losses(out.logits, out.q_halt, labels, cross_entropy_of(config))
        return (out.z_H, out.z_L), StepAnswers(predictions, out.q_halt, losses.cells)

    return jax.lax.scan(step, (carry.z_H, carry.z_L), None, length=steps)[1]


class Scores(NamedTuple):
    """`StepAnswers` against the labels."""

    solved: Bool[Array, "N B"]
    cells_right: Int[Array, "N B"]
    q_halt: Float[Array, "N B"]
    loss: Float[Array, "N B"]


class Evaluator:
    """Evaluates weights on a split in batches of one shape, so that each number of steps compiles once.

    The devices of a mesh share each batch, and every process is given all outcomes.
    """

    def __init__(self, config: RunConfig, steps: int | None = None, mesh: Mesh | None = None) -> None:
        """`steps`: supervision steps N; None takes the configuration's `halt_max_steps`.

        `mesh`: where the weights lie; None: on this process's first device.
        """
        self.config = config
        self.steps = steps or config.arch.halt_max_steps
        self._mesh = mesh or device_mesh(jax.local_devices()[:1])
        score = partial(_score, config, self.steps, platform_of(self._mesh))
        if self._mesh.size > 1:
            rows, answers = batch_spec(), batch_spec(axis=1)
            specs = (WHOLE, WHOLE, rows, rows, rows)
            score = jax.shard_map(score, mesh=self._mesh, in_specs=specs, out_specs=answers, check_vma=False)
        self._score = jax.jit(score, out_shardings=NamedSharding(self._mesh, WHOLE))

    def __call__(
        self,
        params: Params,
        buffers: Params,
        split: Split,
        limit: int | None = None,
        progress: Progress = silent,
    ) -> Outcomes:
        """Outcomes on the first `limit` puzzles of `split`, on all of them by default.

        Raises UserError for weights that are not finite.
        """
        refuse_nonfinite({"params": params, "buffers": buffers}, "the weights to evaluate")
        inputs, labels = split.inputs[:limit], split.labels[:limit]
        total = len(inputs)
        devices = self._mesh.size
        size = -(-min(self.config.system.eval_batch_size, total) // devices) * devices
        rows = on_mesh(self._mesh, batch_spec())
        read: list[tuple[np.ndarray, ...]] = []
        running: Scores | None = None
        for start in range(0, total, size):
            taken = slice(start, start + size)
            batch = (_padded(inputs[taken], size), _padded(labels[taken], size), np.zeros(size, np.int32))
            dispatched = self._score(params, buffers, *placed(batch, (rows, rows, rows)))
            # Reading the batch before this one keeps the device busy and the queue short.
            if running is not None:
                read.append(tuple(map(np.asarray, running)))
                progress("evaluating", start, total)
            running = dispatched
        assert running is not None, "a split to evaluate holds at least one puzzle"
        read.append(tuple(map(np.asarray, running)))
        progress("evaluating", total, total)
        solved, right, q_halt, loss = (
            np.concatenate(parts, axis=1)[:, :total].T for parts in zip(*read, strict=True)
        )
        ratings = np.full(total, -1, np.int32) if split.ratings is None else split.ratings[:total]
        return Outcomes(solved, right, (labels > 0).sum(1).astype(np.int32), q_halt, loss, ratings)


def _score(
    config: RunConfig,
    steps: int,
    platform: str | None,
    params: Params,
    buffers: Params,
    inputs: UInt8[Array, "B C"],
    labels: UInt8[Array, "B C"],
    puzzle_ids: Int[Array, " B"],
) -> Scores:
    answers = answer_steps(config, steps, params, buffers, inputs, labels, puzzle_ids, platform)
    labelled = labels > 0
    right = jnp.sum((answers.predictions == labels[None]) & labelled[None], axis=-1)
    counts = jnp.sum(labelled, axis=-1)
    solved = (right == counts[None]) & (counts > 0)[None]
    return Scores(solved, right.astype(jnp.int32), answers.q_halt, answers.loss)


def _padded(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows of zeros behind, which have no labelled cell and so are never solved; the caller cuts them off."""
    return np.pad(rows, [(0, size - len(rows)), (0, 0)])
