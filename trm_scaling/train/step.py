"""One training step, pure: (state, hyper, batch) -> (state, metrics).

Shapes: B batch, L positions, C cells, D width.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Key, UInt8, UInt32

from trm_scaling.config import RunConfig
from trm_scaling.losses import Losses, cross_entropy_of, trm_losses
from trm_scaling.models import Carry, Execution, halt, reset_halted
from trm_scaling.models.act import wants_to_halt
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.models.model import BATCH_AXIS, States
from trm_scaling.models.model import step as model_step
from trm_scaling.optim import (
    TracedHparams,
    exploration_probability,
    learning_rate_factor,
    update_ema,
    update_params,
)
from trm_scaling.optim.update import all_finite
from trm_scaling.parallel.mesh import MODEL, platform_of
from trm_scaling.parallel.sharding import (
    WHOLE,
    batch_spec,
    gather_parameters,
    parameter_specs,
    read_rows,
    sum_gradients,
)
from trm_scaling.train.puzzle_table import write_rows
from trm_scaling.train.state import DRAW, EXPLORE, TrainState, averaged_part, carry_specs, network_of

Metrics = dict[str, Float[Array, "..."]]
"""Scalars, and under a name that ends in `_histogram` counts (N,) by number of supervision steps."""

Params = dict[str, Any]
Rows = Float[Array, "B E"] | None
"""The puzzle embeddings of a batch; None in a network that has none."""
Noise = UInt32[Array, "B 2"] | None
"""The keys of the batch's rows as numbers; None in a network without noise."""


class Batch(NamedTuple):
    """Puzzles offered to the rows of the batch, already augmented."""

    inputs: UInt8[Array, "B C"]
    labels: UInt8[Array, "B C"]
    puzzle_ids: Int[Array, " B"]


class Answer(NamedTuple):
    """What the forward pass of a (micro-)batch leaves behind."""

    state: States
    q_halt: Float[Array, " B"]
    losses: Losses

    @property
    def batch_axes(self) -> "Answer":
        """Along which axis of each leaf the batch lies."""
        axes: Answer = jax.tree.map(lambda _: 0, self)
        return axes._replace(state=jax.tree.map(lambda _: BATCH_AXIS, self.state))


def train_step(
    config: RunConfig, state: TrainState, hyper: TracedHparams, batch: Batch, mesh: Mesh | None = None
) -> tuple[TrainState, Metrics]:
    """Fill halted rows, one supervision step with its gradient, update, decide who halts.

    Over `mesh` when there is one, which changes rounding alone.
    """
    step = state.step + 1
    row_keys = _row_keys(config, state.key, step)
    carry = reset_halted(state.carry, state.buffers, *batch, row_keys if config.arch.draws_states else None)
    scale = jnp.float32(1.0) if state.loss_scale is None else state.loss_scale.scale
    grads, answer = batch_gradients(config, state.params, carry, scale, mesh, row_keys)

    lr_factor = learning_rate_factor(step, hyper)
    network, optimizer = update_params(
        config.optimizer, network_of(state.params), network_of(grads), state.optimizer, hyper, lr_factor
    )
    params = dict(network)
    finite = None if state.loss_scale is None else all_finite(grads)
    if PUZZLE_EMB in state.params:
        params[PUZZLE_EMB] = write_rows(
            state.params[PUZZLE_EMB], carry.puzzle_ids, grads[PUZZLE_EMB], hyper, lr_factor, finite, mesh
        )

    ema, averaged = state.ema, averaged_part(config, params)
    if ema is not None:
        ema = update_ema(ema, averaged, hyper.ema_rate)
    further = zip(state.emas, hyper.ema_rates, strict=True)

    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), EXPLORE)
    steps = carry.steps + 1
    exploration = exploration_probability(step, hyper)
    longest = config.arch.halt_max_steps
    halted = halt(jax.random.fold_in(key, step), steps, answer.q_halt, exploration, longest)
    new = dataclasses.replace(
        state,
        step=step,
        params=params,
        ema=ema,
        emas=tuple(update_ema(each, averaged, rate) for each, rate in further),
        optimizer=optimizer,
        carry=dataclasses.replace(carry, state=answer.state, steps=steps, halted=halted),
    )
    if finite is not None:
        new = _skip_overflow(state, new, finite)
    rates = {"train/lr": hyper.lr * lr_factor, "train/halt_exploration_prob": exploration}
    if new.loss_scale is not None:
        rates["train/loss_scale"] = new.loss_scale.scale
    return new, {**_metrics(answer, steps, halted, grads, longest), **rates}


def _row_keys(config: RunConfig, key: Array, step: Array) -> Key[Array, " B"] | None:
    """A key for each row of the batch, of (seed, step, row) alone; None in a network without noise."""
    if not config.arch.draws:
        return None
    of_step = jax.random.fold_in(jax.random.fold_in(jax.random.wrap_key_data(key), DRAW), step)
    rows = jnp.arange(config.global_batch_size, dtype=jnp.uint32)
    return jax.vmap(lambda row: jax.random.fold_in(of_step, row))(rows)


def batch_gradients(
    config: RunConfig,
    params: Params,
    carry: Carry,
    scale: Float[Array, ""],
    mesh: Mesh | None = None,
    row_keys: Key[Array, " B"] | None = None,
) -> tuple[Params, Answer]:
    """Gradients of the summed loss over the global batch size, and the answers of the whole batch.

    Those of the puzzle embeddings are (B, E), of each row that the batch reads. With micro-batches the batch
    is worked through in slices, one after another, and the gradients of the network added. On a mesh each
    device does so with its own rows, and what the devices exchange is the sum of their gradients, once.
    `scale` multiplies the loss before differentiation (float16) and is divided out again. `row_keys` are the
    keys of a network with noise.
    """
    platform = platform_of(mesh)
    network = network_of(params)
    # Read before anything is differentiated: the gradient of a table would be as large as the table.
    rows = read_rows(params[PUZZLE_EMB], carry.puzzle_ids, mesh) if PUZZLE_EMB in params else None
    noise = None if row_keys is None else jax.random.key_data(row_keys)
    if mesh is None or mesh.size == 1:
        (grads, of_rows), answer = _gradients_of_share(
            config, 1, platform, network, rows, carry, scale, noise
        )
    else:
        specs = parameter_specs(network, mesh.shape[MODEL])

        def of_device(
            network: Params, rows: Rows, carry: Carry, scale: Array, noise: Noise
        ) -> tuple[tuple[Params, Rows], Answer]:
            whole = gather_parameters(network, specs)
            found = _gradients_of_share(config, mesh.size, platform, whole, rows, carry, scale, noise)
            (grads, of_rows), answer = found
            return (sum_gradients(grads, specs), of_rows), answer

        (grads, of_rows), answer = jax.shard_map(
            of_device,
            mesh=mesh,
            in_specs=(specs, batch_spec(), carry_specs(carry), WHOLE, batch_spec()),
            out_specs=((specs, batch_spec()), _answer_specs(carry.state)),
            # The gradients are taken inside, where a device knows its own rows alone; what adds them
            # up is written out above.
            check_vma=False,
        )(network, rows, carry, scale, noise)
    grads = grads if of_rows is None else {**grads, PUZZLE_EMB: of_rows}
    return jax.tree.map(lambda leaf: leaf / scale, grads), answer


def _answer_specs(state: States) -> Any:
    rows: Any = 0
    axes = Answer(state, rows, Losses(*[rows] * len(Losses._fields))).batch_axes
    return jax.tree.map(batch_spec, axes)


def _gradients_of_share(
    config: RunConfig,
    devices: int,
    platform: str | None,
    network: Params,
    rows: Rows,
    carry: Carry,
    scale: Float[Array, ""],
    noise: Noise,
) -> tuple[tuple[Params, Rows], Answer]:
    """Gradients (times `scale`) of the network and of the batch's puzzle embeddings, and answers, of the
    share of one of `devices`, in slices.
    """
    how = Execution.of(config.system, platform)

    def loss(trained: tuple[Params, Rows], carry: Carry, noise: Noise) -> tuple[Float[Array, ""], Answer]:
        network, rows = trained
        keys = None if noise is None else jax.random.wrap_key_data(noise)
        out = model_step(config.arch, network, carry.state, carry.inputs, rows, how, keys)
        losses = trm_losses(out.logits, out.q_halt, carry.labels, cross_entropy_of(config.arch.loss))
        state = jax.lax.stop_gradient(out.state)
        return losses.total * (scale / config.global_batch_size), Answer(state, out.q_halt, losses)

    gradients = jax.grad(loss, has_aux=True)
    slices = config.micro_batches_over(devices)
    if slices == 1:
        return gradients((network, rows), carry, noise)
    zeros = jax.tree.map(jnp.zeros_like, network)

    def add(total: Params, part: tuple[Rows, Carry, Noise]) -> tuple[Params, tuple[Rows, Answer]]:
        (grads, of_rows), answer = gradients((network, part[0]), *part[1:])
        return jax.tree.map(jnp.add, total, grads), (of_rows, answer)

    parts, noises = (None if each is None else _split(each, 0, slices) for each in (rows, noise))
    cut = jax.tree.map(partial(_split, parts=slices), carry, carry.batch_axes)
    grads, (of_rows, answers) = jax.lax.scan(add, zeros, (parts, cut, noises))
    joined = None if of_rows is None else _join(of_rows, 0)
    return (grads, joined), jax.tree.map(_join, answers, answers.batch_axes)


def _split(leaf: Array, axis: int, parts: int) -> Array:
    """A leaf's batch axis B as (B / parts, parts), the parts moved to the front."""
    shape = (*leaf.shape[:axis], leaf.shape[axis] // parts, parts, *leaf.shape[axis + 1 :])
    return jnp.moveaxis(leaf.reshape(shape), axis + 1, 0)


def _join(leaf: Array, axis: int) -> Array:
    """The inverse of `_split` for one leaf."""
    moved = jnp.moveaxis(leaf, 0, axis + 1)
    return moved.reshape(*moved.shape[:axis], -1, *moved.shape[axis + 2 :])


def _skip_overflow(old: TrainState, new: TrainState, finite: Array) -> TrainState:
    """float16: a step whose gradients overflowed changes no parameter, moment or average."""
    assert old.loss_scale is not None

    def keep(name: str) -> Any:
        after, before = getattr(new, name), getattr(old, name)
        return jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, before)

    kept = {name: keep(name) for name in ("params", "optimizer", "ema", "emas")}
    if PUZZLE_EMB in new.params:
        # `write_rows` left it as it was, and comparing tables would cost as much as the table.
        kept["params"] = {**kept["params"], PUZZLE_EMB: new.params[PUZZLE_EMB]}
    # A row whose own states overflowed can only begin anew.
    overflowed = jnp.zeros_like(new.carry.halted)
    for state in new.carry.state.values():
        others = tuple(axis for axis in range(state.ndim) if axis != BATCH_AXIS)
        overflowed |= ~jnp.all(jnp.isfinite(state), axis=others)
    halted = new.carry.halted | overflowed
    carry = dataclasses.replace(new.carry, halted=halted)
    return dataclasses.replace(new, **kept, carry=carry, loss_scale=old.loss_scale.adjusted(finite))


def _metrics(
    answer: Answer, steps: Int[Array, " B"], halted: Bool[Array, " B"], grads: Params, longest: int
) -> Metrics:
    """Means over the batch, or (after `finished_`) over the rows that halted in this step."""
    losses = answer.losses
    finished = halted & losses.counted
    share = finished.astype(jnp.float32) / jnp.maximum(jnp.sum(finished), 1).astype(jnp.float32)

    def over_finished(values: Array) -> Float[Array, ""]:
        # NaN where nobody halted: missing, not zero. The record drops it.
        return jnp.where(jnp.any(finished), jnp.sum(values.astype(jnp.float32) * share), jnp.nan)

    squares = [jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(network_of(grads))]
    after = jnp.arange(1, longest + 1)[:, None] == steps[None, :]
    return {
        "train/loss": losses.total / answer.q_halt.shape[0],
        "train/cell_loss": jnp.mean(losses.cells),
        "train/halt_loss": jnp.mean(losses.halting),
        "train/finished_rate": jnp.mean(finished.astype(jnp.float32)),
        "train/finished_cell_rate": over_finished(losses.accuracy),
        "train/finished_exact_rate": over_finished(losses.solved),
        "train/finished_halt_right_rate": over_finished(wants_to_halt(answer.q_halt) == losses.solved),
        "train/finished_steps": over_finished(steps),
        "train/finished_steps_histogram": jnp.sum(after & finished[None, :], axis=1).astype(jnp.float32),
        "train/grad_norm": jnp.sqrt(jnp.sum(jnp.stack(squares))),
    }
