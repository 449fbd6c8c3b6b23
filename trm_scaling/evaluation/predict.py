"""Answers of a model to puzzles after each supervision step. They leave the device.

Shapes: M puzzles, S samples, N supervision steps, B rows of a batch (each one sample of one puzzle), C cells.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Int, Key, UInt8

from trm_scaling.checkpoint.leaves import named_leaves
from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError
from trm_scaling.evaluation.samples import (
    Budget,
    call_keys,
    first_state,
    images,
    row_keys,
    turned_back,
    with_noise,
)
from trm_scaling.losses import cross_entropy_of, trm_losses
from trm_scaling.models import Execution, empty_carry, reset_halted
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.models.model import Output, States, puzzle_rows
from trm_scaling.models.model import step as model_step
from trm_scaling.parallel.mesh import device_mesh, platform_of
from trm_scaling.parallel.sharding import WHOLE, batch_spec, on_mesh, placed, read_rows
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.folder import Progress, silent
from trm_scaling.tasks.task import task_of

Params = dict[str, Any]


class Answers(NamedTuple):
    """The answers to a batch of puzzles. On the device a row is one sample of one puzzle, and S is not
    there."""

    tokens: UInt8[Array, "*S N B C"]
    q_halt: Float[Array, "*S N B"]
    """Halting logits, float32."""
    loss: Float[Array, "*S N B"]
    """Mean cross-entropy over the labelled cells, in nats; 0 where there is none."""
    confidence: Float[Array, "*S N B"]
    """Mean over all cells of the probability of the answer's token, by the loss's own probabilities."""
    change: Float[Array, "*S N B"]
    """Mean over all cells of the Euclidean distance of the logits from those of the step before; 0 at the
    first."""


class Puzzles(NamedTuple):
    """What the rows of a batch work on."""

    inputs: UInt8[Array, "B C"]
    labels: UInt8[Array, "B C"]
    """What the loss is taken against (0: none); nothing else depends on them."""
    puzzle_ids: Int[Array, " B"]
    numbers: Int[Array, " B"]
    """Of the puzzle in its split."""
    samples: Int[Array, " B"]
    """Which sample of the puzzle, from 0."""


def answer_steps(
    config: RunConfig,
    budget: Budget,
    params: Params,
    buffers: Params,
    puzzles: Puzzles,
    key: Key[Array, ""],
    rows: Float[Array, "B E"] | None = None,
    platform: str | None = None,
) -> Answers:
    """Work on `puzzles` from the initial states for N supervision steps: (N, B, ...) each.

    What is random is a function of (key, puzzle, sample, step), whatever the batch or the mesh. `platform` as
    in `models.Execution`.
    """
    start = begin_rows(config, budget, params, buffers, puzzles, key, rows)
    how = Execution.of(config.system, platform, differentiated=False)
    task, cross_entropy = task_of(config.data), cross_entropy_of(config.arch.loss)

    def step(before: tuple[States, Array], number: Array) -> tuple[tuple[States, Array], Answers]:
        state, logits = before
        out = start.step(config, budget, params, state, jnp.broadcast_to(number, puzzles.numbers.shape), how)
        now = out.logits.astype(jnp.float32)
        tokens = jnp.argmax(out.logits, axis=-1).astype(jnp.uint8)
        losses = trm_losses(out.logits, out.q_halt, start.labels, cross_entropy)
        sure = jnp.exp(-cross_entropy(out.logits, tokens.astype(jnp.int32))).astype(jnp.float32)
        moved = jnp.mean(jnp.sqrt(jnp.sum(jnp.square(now - logits), axis=-1)), axis=-1)
        change = jnp.where(number > 0, moved, jnp.zeros_like(moved))
        own = turned_back(budget, task, key, puzzles.numbers, puzzles.samples, tokens)
        answers = Answers(own, out.q_halt, losses.cells, jnp.mean(sure, axis=-1), change)
        return (out.state, now), answers

    nothing = jnp.zeros((*puzzles.inputs.shape, params["lm_head"].shape[-1]), jnp.float32)
    return jax.lax.scan(step, (start.state, nothing), jnp.arange(budget.steps))[1]


class Started(NamedTuple):
    """Rows before their first supervision step."""

    state: States
    inputs: UInt8[Array, "B C"]
    """As the network sees them: images, where the budget says so."""
    labels: UInt8[Array, "B C"]
    keys: Key[Array, " B"]
    samples: Int[Array, " B"]
    rows: Float[Array, "B E"] | None
    """Puzzle embeddings."""

    def step(
        self,
        config: RunConfig,
        budget: Budget,
        params: Params,
        state: States,
        steps: Int[Array, " B"],
        how: Execution,
    ) -> Output:
        """One supervision step from `state`, of rows that have had `steps` each."""
        noisy = with_noise(budget, self.keys, self.samples, steps, state)
        keys = call_keys(self.keys, steps) if config.arch.draws else None
        return model_step(config.arch, params, noisy, self.inputs, self.rows, how, keys)


def begin_rows(
    config: RunConfig,
    budget: Budget,
    params: Params,
    buffers: Params,
    puzzles: Puzzles,
    key: Key[Array, ""],
    rows: Float[Array, "B E"] | None = None,
) -> Started:
    """`puzzles` in their initial states. `rows`: their embeddings; default those in `params`."""
    task, keys = task_of(config.data), row_keys(key, puzzles.numbers, puzzles.samples)
    where = key, puzzles.numbers, puzzles.samples
    inputs, labels = images(budget, task, *where, puzzles.inputs, puzzles.labels)
    batch, seq_len = inputs.shape
    carry = reset_halted(
        empty_carry(config.arch, batch, seq_len), buffers, inputs, labels, puzzles.puzzle_ids
    )
    rows = puzzle_rows(params, puzzles.puzzle_ids) if rows is None else rows
    state = first_state(budget, config.arch.draws_states, keys, puzzles.samples, carry.state)
    return Started(state, inputs, labels, keys, puzzles.samples, rows)


class Predictor:
    """Answers a split in batches of one shape, so that each budget compiles once.

    A batch has at most `system.eval_batch_size` rows, whatever the number of samples: that bounds the memory
    of the device. The devices of a mesh share each batch, and every process is given all answers.
    """

    def __init__(self, config: RunConfig, budget: Budget, mesh: Mesh | None = None) -> None:
        """`mesh`: where the weights lie; None: on this process's first device.

        Raises UserError as `Budget.check` does.
        """
        budget.check(task_of(config.data), config.arch)
        self.config, self.budget = config, budget
        self._mesh = mesh or device_mesh(jax.local_devices()[:1])
        answer = partial(answer_steps, config, budget, platform=platform_of(self._mesh))
        if self._mesh.size > 1:
            answer = partial(_over_mesh, answer, self._mesh)
        self._answer = jax.jit(answer, out_shardings=NamedSharding(self._mesh, WHOLE))

    def rows_at_once(self, puzzles: int) -> int:
        """Rows of a batch for so many puzzles: a multiple of the devices."""
        devices = self._mesh.size
        return -(-min(self.config.system.eval_batch_size, puzzles * self.budget.samples) // devices) * devices

    def __call__(
        self,
        params: Params,
        buffers: Params,
        split: Split,
        limit: int | None = None,
        progress: Progress = silent,
        key: Array | None = None,
        first: int = 0,
    ) -> Iterator[Answers]:
        """The answers to puzzles `first` to `limit` of `split` (default all), in order, some puzzles at a
        time with all their samples, in NumPy arrays and without padding. `key`: of what is random; default
        that of the run's seed.

        Raises UserError for weights that are not finite.
        """
        refuse_nonfinite({"params": params, "buffers": buffers}, "the weights to evaluate")
        key = jax.random.key(self.config.seed) if key is None else key
        inputs, labels, ids = (each[:limit] for each in (split.inputs, split.labels, split.puzzle_ids))
        puzzles, samples = len(inputs), self.budget.samples
        size, rows = self.rows_at_once(puzzles - first), on_mesh(self._mesh, batch_spec())
        whole = _WholePuzzles(samples)
        running: tuple[int, Answers] | None = None
        for start in range(first * samples, puzzles * samples, size):
            which = np.arange(start, min(start + size, puzzles * samples), dtype=np.int32)
            numbers, which = np.divmod(which, np.int32(samples))
            asked = inputs[numbers], labels[numbers], ids[numbers], numbers, which
            batch = Puzzles(*(_padded(each, size) for each in asked))  # type: ignore[arg-type]
            dispatched = self._answer(params, buffers, placed(batch, Puzzles(*(rows,) * len(batch))), key)
            # Reading the batch before this one keeps the device busy and the queue short.
            if running is not None:
                yield from whole.add(*running)
                progress("evaluating", start // samples, puzzles)
            running = len(numbers), dispatched
        assert running is not None, "a split to evaluate holds at least one puzzle"
        yield from whole.add(*running)
        progress("evaluating", puzzles, puzzles)


class _WholePuzzles:
    """Gathers rows until puzzles have all their samples."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._parts: list[Answers] = []
        self._count = 0

    def add(self, count: int, batch: Answers) -> Iterator[Answers]:
        """The puzzles that the first `count` rows of `batch` complete, if any: (S, N, B, ...)."""
        self._parts.append(jax.tree.map(lambda leaf: np.asarray(leaf)[:, :count], batch))
        self._count += count
        complete = self._count // self._samples * self._samples
        if not complete:
            return
        rows: Answers = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *self._parts)
        yield jax.tree.map(lambda leaf: self._by_sample(leaf[:, :complete]), rows)
        self._parts = [jax.tree.map(lambda leaf: leaf[:, complete:], rows)]
        self._count -= complete

    def _by_sample(self, leaf: np.ndarray) -> np.ndarray:
        apart = leaf.reshape(leaf.shape[0], -1, self._samples, *leaf.shape[2:])
        return np.moveaxis(apart, 2, 0)


def _over_mesh(
    answer: Callable[..., Answers],
    mesh: Mesh,
    params: Params,
    buffers: Params,
    puzzles: Puzzles,
    key: Array,
) -> Answers:
    """`answer` by all devices, each with its share of the batch and of the puzzle embeddings that it asks
    for.
    """
    network = {name: leaf for name, leaf in params.items() if name != PUZZLE_EMB}
    rows = read_rows(params[PUZZLE_EMB], puzzles.puzzle_ids, mesh) if PUZZLE_EMB in params else None
    specs = (WHOLE, WHOLE, batch_spec(), WHOLE, batch_spec())
    answers = batch_spec(axis=1)
    shared = jax.shard_map(answer, mesh=mesh, in_specs=specs, out_specs=answers, check_vma=False)
    return shared(network, buffers, puzzles, key, rows)


def _padded(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows of zeros behind, which have no labelled cell; the caller cuts them off."""
    return np.pad(rows, [(0, size - len(rows)), *[(0, 0)] * (rows.ndim - 1)])


def refuse_nonfinite(weights: Any, where: str, error: type[UserError] = UserError) -> None:
    """Raise `error` when a number in `weights` (a pytree) is NaN or infinite, naming the tensor and how many.

    Such weights answer every puzzle, and all answers are wrong: that is no measurement. `where` names them.
    """
    leaves = {name: leaf for name, leaf in named_leaves(weights).items() if leaf is not None}
    for name, count in _nonfinite_counts(leaves).items():
        if count:
            raise error(
                f"{where}: {name} holds {int(count):,} values of {leaves[name].size:,} that are NaN or "
                "infinite; such weights are neither saved nor measured. Take an earlier checkpoint, or train "
                "with a lower lr or arch.forward_dtype=float32, each of which is a new run"
            )


@jax.jit
def _nonfinite_counts(leaves: dict[str, Array]) -> dict[str, Int[Array, ""]]:
    return {name: jnp.sum(~jnp.isfinite(leaf)) for name, leaf in leaves.items()}
