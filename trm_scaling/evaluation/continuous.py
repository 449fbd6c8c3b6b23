"""Inference that stops: continuous batching, in which a row whose puzzle is answered takes the next one.

A puzzle then costs the steps that it needs, where the fixed-step evaluator pays the most for each. The whole
queue is one device program. Answers are those of the decoders `halting` and `verified`.

Shapes: M puzzles, B rows, N supervision steps of a sample, C cells.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError
from trm_scaling.evaluation.predict import Params, Puzzles, Started, begin_rows, refuse_nonfinite
from trm_scaling.evaluation.samples import Budget, turned_back
from trm_scaling.models import Execution
from trm_scaling.models.act import wants_to_halt
from trm_scaling.models.model import BATCH_AXIS, States
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.folder import Progress, silent
from trm_scaling.tasks.task import Task, task_of

Stop = Literal["halting", "verified"]
"""When a puzzle is answered: by the halting logit, or by the task's rules, sample after sample."""

QUEUE = 32
"""Puzzles of a device call for each row: rows idle only at its end."""


class Stopped(NamedTuple):
    """One answer to each puzzle."""

    tokens: UInt8[Array, "M C"]
    q_halt: Float[Array, " M"]
    """Halting logit of that answer."""
    spent: Int[Array, " M"]
    """Supervision steps, over all samples that were worked on."""


class _Rows(NamedTuple):
    """What the loop carries."""

    state: States
    puzzle: Int[Array, " B"]
    """Place in the queue; beyond its end where there is nothing left to do."""
    sample: Int[Array, " B"]
    steps: Int[Array, " B"]
    """Supervision steps that the sample has had."""
    spent: Int[Array, " B"]
    best: Stopped
    """The answer of the highest halting logit so far, a row each."""
    following: Int[Array, ""]
    """The first puzzle that no row has taken."""
    found: Stopped
    """By place in the queue, and one more row that is written to where nothing is found."""


def answer_queue(
    config: RunConfig,
    budget: Budget,
    stop: Stop,
    size: int,
    platform: str | None,
    params: Params,
    buffers: Params,
    queue: Puzzles,
    count: Int[Array, ""],
    key: Key[Array, ""],
) -> Stopped:
    """Answer the first `count` puzzles of `queue` with `size` rows. The samples of `queue` are not read."""
    task, how = task_of(config.data), Execution.of(config.system, platform, differentiated=False)
    length = queue.numbers.shape[0]

    def begun(puzzle: Array, sample: Array) -> tuple[Puzzles, Started]:
        taken = jnp.minimum(puzzle, length - 1)
        rows: Puzzles = jax.tree.map(lambda leaf: jnp.take(leaf, taken, axis=0), queue)
        puzzles = rows._replace(samples=sample)
        return puzzles, begin_rows(config, budget, params, buffers, puzzles, key)

    def iterate(rows: _Rows) -> _Rows:
        puzzles, started = begun(rows.puzzle, rows.sample)
        fresh = jnp.expand_dims(rows.steps == 0, tuple(axis for axis in range(3) if axis != BATCH_AXIS))
        state = jax.tree.map(lambda new, old: jnp.where(fresh, new, old), started.state, rows.state)
        out = started.step(config, budget, params, state, rows.steps, how)
        tokens = jnp.argmax(out.logits, axis=-1).astype(jnp.uint8)
        tokens = turned_back(budget, task, key, puzzles.numbers, puzzles.samples, tokens)
        active, steps, spent = rows.puzzle < count, rows.steps + 1, rows.spent + 1
        now = Stopped(tokens, out.q_halt, spent)
        best = _where((out.q_halt > rows.best.q_halt) | (rows.spent == 0), now, rows.best)
        ended = steps >= budget.steps
        if stop == "halting":
            done, answer = wants_to_halt(out.q_halt) | ended, now
        else:
            valid = _keeps_rules(task, puzzles.inputs, tokens)
            done = valid | (ended & (rows.sample == budget.samples - 1))
            answer = _where(valid, now, best)._replace(spent=spent)
        done &= active
        written = jnp.where(done, rows.puzzle, length)
        taken = rows.following + jnp.cumsum(done.astype(jnp.int32)) - 1
        again = ended & ~done
        return _Rows(
            out.state,
            puzzle=jnp.where(done, taken, rows.puzzle),
            sample=jnp.where(done, 0, jnp.where(again, rows.sample + 1, rows.sample)),
            steps=jnp.where(done | again, 0, steps),
            spent=jnp.where(done, 0, spent),
            best=best,
            following=rows.following + jnp.sum(done.astype(jnp.int32)),
            found=jax.tree.map(lambda whole, part: whole.at[written].set(part), rows.found, answer),
        )

    first, zeros = jnp.arange(size, dtype=jnp.int32), jnp.zeros(size, jnp.int32)

    def none(rows: int) -> Stopped:
        cells = queue.inputs.shape[1]
        return Stopped(
            jnp.zeros((rows, cells), jnp.uint8), jnp.zeros(rows, jnp.float32), jnp.zeros(rows, jnp.int32)
        )

    _, started = begun(first, zeros)
    best, found = none(size), none(length + 1)
    start = _Rows(started.state, first, zeros, zeros, zeros, best, jnp.int32(size), found)
    end = jax.lax.while_loop(lambda rows: jnp.any(rows.puzzle < count), iterate, start)
    return jax.tree.map(lambda leaf: leaf[:-1], end.found)


def _where(rows: Bool[Array, " B"], one: Stopped, other: Stopped) -> Stopped:
    def chosen(yes: Array, no: Array) -> Array:
        return jnp.where(rows.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)

    return jax.tree.map(chosen, one, other)


def _keeps_rules(task: Task, inputs: UInt8[Array, "B C"], tokens: UInt8[Array, "B C"]) -> Bool[Array, " B"]:
    """The task's rules are NumPy's: the host is asked once a step, for a byte a cell."""

    def ask(inputs: Any, tokens: Any) -> np.ndarray:
        found = task.verify(np.asarray(inputs), np.asarray(tokens))
        assert found is not None, "StoppingPredictor refuses a task without rules"
        return found

    return jax.pure_callback(ask, jax.ShapeDtypeStruct(inputs.shape[:1], jnp.bool_), inputs, tokens)


class StoppingPredictor:
    """Answers a split by continuous batching on this process's first device, with at most
    `system.eval_batch_size` rows.
    """

    def __init__(self, config: RunConfig, budget: Budget, stop: Stop) -> None:
        """Raises UserError as `Budget.check`, for halting with several samples, and for rules that a task
        lacks.
        """
        task = task_of(config.data)
        budget.check(task, config.arch)
        if stop == "halting" and budget.samples > 1:
            raise UserError(
                f"samples={budget.samples} with stop=halting: the halting rule takes the first "
                "sample's answer, so the others would be idle; take stop=verified, or samples=1"
            )
        if stop == "verified" and not task.has_rules:
            raise UserError(f"stop=verified asks the rules of the task, and {task.title} has none")
        self.config, self.budget, self.stop = config, budget, stop
        self.rows = config.system.eval_batch_size
        platform = jax.local_devices()[0].platform
        self._answer = jax.jit(partial(answer_queue, config, budget, stop, self.rows, platform))

    def __call__(
        self,
        params: Params,
        buffers: Params,
        split: Split,
        limit: int | None = None,
        progress: Progress = silent,
        key: Array | None = None,
    ) -> Stopped:
        """The answers to the first `limit` puzzles of `split` (default all), in NumPy arrays. `key`: of what
        is random; default that of the run's seed.

        Raises UserError for weights that are not finite.
        """
        refuse_nonfinite({"params": params, "buffers": buffers}, "the weights to evaluate")
        key = jax.random.key(self.config.seed) if key is None else key
        inputs, labels, ids = (each[:limit] for each in (split.inputs, split.labels, split.puzzle_ids))
        total, found = len(inputs), []
        length = min(QUEUE * self.rows, total)
        for start in range(0, total, length):
            there = min(length, total - start)
            numbers = start + np.minimum(np.arange(length, dtype=np.int32), there - 1)
            queue = Puzzles(inputs[numbers], labels[numbers], ids[numbers], numbers, np.zeros_like(numbers))  # type: ignore[arg-type]
            answers = self._answer(params, buffers, queue, np.int32(there), key)
            found.append(jax.tree.map(lambda leaf, there=there: np.asarray(leaf)[:there], answers))
            progress("answering", start + there, total)
        joined: Stopped = jax.tree.map(lambda *leaves: np.concatenate(leaves), *found)
        return joined
