"""Answers of a model to puzzles after each supervision step. They leave the device.

Shapes: M puzzles, S samples, N supervision steps, B evaluation batch, C cells.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Int, UInt8

from trm_scaling.checkpoint.leaves import named_leaves
from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError
from trm_scaling.losses import cross_entropy_of, trm_losses
from trm_scaling.models import Execution, begin, empty_carry
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.models.model import BATCH_AXIS, States, puzzle_rows
from trm_scaling.models.model import step as model_step
from trm_scaling.parallel.mesh import device_mesh, platform_of
from trm_scaling.parallel.rows import read_rows
from trm_scaling.parallel.sharding import WHOLE, batch_spec, on_mesh, placed
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.progress import Progress, silent

Params = dict[str, Any]


class Budget(NamedTuple):
    """What an evaluation may spend on a puzzle."""

    steps: int
    """Supervision steps N; nobody halts."""
    samples: int = 1
    """Answers S. The first is always the one without noise."""
    noise: float = 0.0
    """Standard deviation of the normal numbers that all other samples have added to every state before each
    supervision step. The states are normalised: their own is about 1."""


class Answers(NamedTuple):
    """The answers to a batch of puzzles."""

    tokens: UInt8[Array, "S N B C"]
    q_halt: Float[Array, "S N B"]
    """Halting logits, float32."""
    loss: Float[Array, "S N B"]
    """Mean cross-entropy over the labelled cells, in nats; 0 where there is none."""


def answer_steps(
    config: RunConfig,
    budget: Budget,
    params: Params,
    buffers: Params,
    inputs: UInt8[Array, "B C"],
    labels: UInt8[Array, "B C"],
    puzzle_ids: Int[Array, " B"],
    numbers: Int[Array, " B"],
    key: Array,
    rows: Float[Array, "B E"] | None = None,
    platform: str | None = None,
) -> Answers:
    """Work on `inputs` from the initial states, S times for N supervision steps.

    Labels are what the loss is taken against (0: none); nothing else depends on them. Noise is a function of
    (key, sample, step, number of the puzzle), whatever the batch or the mesh. `platform` as in
    `models.Execution`.
    """
    batch, seq_len = inputs.shape
    carry = begin(empty_carry(config.arch, batch, seq_len), buffers, inputs, labels, puzzle_ids)
    how = Execution.of(config.system, platform, differentiated=False)
    rows = puzzle_rows(params, puzzle_ids) if rows is None else rows

    def answer(state: States) -> tuple[States, Answers]:
        out = model_step(config.arch, params, state, inputs, rows, how)
        tokens = jnp.argmax(out.logits, axis=-1).astype(jnp.uint8)
        losses = trm_losses(out.logits, out.q_halt, labels, cross_entropy_of(config.arch.loss))
        return out.state, Answers(tokens, out.q_halt, losses.cells)

    plain = jax.lax.scan(lambda state, _: answer(state), carry.state, None, length=budget.steps)[1]
    first = jax.tree.map(lambda leaf: leaf[None], plain)
    if budget.samples == 1:
        return first

    def noisy(key: Array) -> Answers:
        keys = jax.vmap(partial(jax.random.fold_in, key))(numbers)

        def step(state: States, number: Array) -> tuple[States, Answers]:
            return answer(_with_noise(keys, number, state, budget.noise))

        return jax.lax.scan(step, carry.state, jnp.arange(budget.steps))[1]

    others = jax.lax.map(noisy, jax.random.split(key, budget.samples - 1))
    return jax.tree.map(lambda one, more: jnp.concatenate([one, more]), first, others)


def _with_noise(keys: Array, step: Array, state: States, deviation: float) -> States:
    """`state` with normal numbers added, drawn for each puzzle by its own key."""

    def noisy(place: int, leaf: Array) -> Array:
        shape = leaf.shape[:BATCH_AXIS] + leaf.shape[BATCH_AXIS + 1 :]

        def drawn(key: Array) -> Array:
            return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, step), place), shape)

        noise = deviation * jax.vmap(drawn, out_axes=BATCH_AXIS)(keys)
        return leaf + noise.astype(leaf.dtype)

    return {name: noisy(place, leaf) for place, (name, leaf) in enumerate(state.items())}


class Predictor:
    """Answers a split in batches of one shape, so that each budget compiles once.

    The devices of a mesh share each batch, and every process is given all answers.
    """

    def __init__(self, config: RunConfig, budget: Budget, mesh: Mesh | None = None) -> None:
        """`mesh`: where the weights lie; None: on this process's first device.

        Raises UserError for samples that could not differ, and for noise that no sample would have.
        """
        if (budget.samples > 1) != (budget.noise > 0):
            raise UserError(
                f"samples={budget.samples} and noise={budget.noise:g}: samples differ by their noise alone, "
                "and the first has none; give samples of 2 or more with a noise above 0, or neither"
            )
        self.config, self.budget = config, budget
        self._mesh = mesh or device_mesh(jax.local_devices()[:1])
        answer = partial(answer_steps, config, budget, platform=platform_of(self._mesh))
        if self._mesh.size > 1:
            answer = partial(_over_mesh, answer, self._mesh)
        self._answer = jax.jit(answer, out_shardings=NamedSharding(self._mesh, WHOLE))

    def __call__(
        self,
        params: Params,
        buffers: Params,
        split: Split,
        limit: int | None = None,
        progress: Progress = silent,
        key: Array | None = None,
    ) -> Iterator[Answers]:
        """The answers to the first `limit` puzzles of `split` (default all), in order, a batch at a time, in
        NumPy arrays and without padding. `key`: of the noise; default that of the run's seed.

        Raises UserError for weights that are not finite.
        """
        refuse_nonfinite({"params": params, "buffers": buffers}, "the weights to evaluate")
        key = jax.random.key(self.config.seed) if key is None else key
        inputs, labels, ids = (each[:limit] for each in (split.inputs, split.labels, split.puzzle_ids))
        total = len(inputs)
        devices = self._mesh.size
        size = -(-min(self.config.system.eval_batch_size, total) // devices) * devices
        rows = on_mesh(self._mesh, batch_spec())
        running: tuple[int, Answers] | None = None
        for start in range(0, total, size):
            taken = slice(start, start + size)
            batch = (
                *(_padded(each[taken], size) for each in (inputs, labels, ids)),
                np.arange(start, start + size, dtype=np.int32),
            )
            dispatched = self._answer(params, buffers, *placed(batch, (rows,) * len(batch)), key)
            # Reading the batch before this one keeps the device busy and the queue short.
            if running is not None:
                yield _on_host(*running)
                progress("evaluating", start, total)
            running = min(size, total - start), dispatched
        assert running is not None, "a split to evaluate holds at least one puzzle"
        yield _on_host(*running)
        progress("evaluating", total, total)


def _over_mesh(
    answer: Callable[..., Answers],
    mesh: Mesh,
    params: Params,
    buffers: Params,
    inputs: Array,
    labels: Array,
    puzzle_ids: Array,
    numbers: Array,
    key: Array,
) -> Answers:
    """`answer` by all devices, each with its share of the batch and of the puzzle embeddings that it asks
    for.
    """
    network = {name: leaf for name, leaf in params.items() if name != PUZZLE_EMB}
    rows = read_rows(params[PUZZLE_EMB], puzzle_ids, mesh) if PUZZLE_EMB in params else None
    batch, answers = batch_spec(), batch_spec(axis=2)
    specs = (WHOLE, WHOLE, batch, batch, batch, batch, WHOLE, batch)
    shared = jax.shard_map(answer, mesh=mesh, in_specs=specs, out_specs=answers, check_vma=False)
    return shared(network, buffers, inputs, labels, puzzle_ids, numbers, key, rows)


def _on_host(count: int, answers: Answers) -> Answers:
    return Answers(*(np.asarray(leaf)[:, :, :count] for leaf in answers))  # type: ignore[arg-type]


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
