"""Several training steps in one device call. Shapes: K steps a call, B batch, C cells."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Int

from trm_scaling.config import RunConfig
from trm_scaling.optim import TracedHparams
from trm_scaling.parallel.sharding import WHOLE, on_mesh
from trm_scaling.tasks.task import task_of
from trm_scaling.train.input_pipeline import Feed
from trm_scaling.train.state import TrainState, state_specs
from trm_scaling.train.step import Batch, train_step

CallMetrics = dict[str, Float[Array, "K ..."]]


def make_train_call(
    config: RunConfig, augmentation_seed: int, mesh: Mesh | None = None, runs: int = 1
) -> jax.stages.Wrapped:
    """A compiled-on-first-use function of (state, hyper, feed, count) that donates its state.

    The number of steps is data, so that one program serves every call: the last one before an
    evaluation, and the first one after a resume, round exactly as any other. On a `mesh` the state
    and the feed lie as `state_specs` and `feed_specs` say, the metrics on every device.

    Several `runs` are one program on one device: state, numbers, feed and metrics then have a first axis
    of runs, and no run depends on another. `config` may be that of any of them (`config.traced_fields`).
    """
    if runs == 1:
        return jax.jit(partial(_train_call, config, augmentation_seed, mesh), donate_argnums=0)
    each = partial(_train_call, config, augmentation_seed, None)
    return jax.jit(jax.vmap(each, in_axes=(0, 0, 0, None)), donate_argnums=0)


def _train_call(
    config: RunConfig,
    augmentation_seed: int,
    mesh: Mesh | None,
    state: TrainState,
    hyper: TracedHparams,
    feed: Feed,
    count: Int[Array, ""],
) -> tuple[TrainState, CallMetrics]:
    task = task_of(config.data)

    def step(state: TrainState, now: Feed) -> tuple[TrainState, dict[str, Array]]:
        seed = jnp.uint32(augmentation_seed)
        inputs, labels = task.augment(seed, now.puzzle, now.augmentation, now.inputs, now.labels)
        return train_step(config, state, hyper, Batch(inputs, labels, now.puzzle_ids), mesh)

    def body(i: Array, loop: tuple[TrainState, CallMetrics]) -> tuple[TrainState, CallMetrics]:
        state, log = loop
        state, metrics = step(state, jax.tree.map(lambda leaf: leaf[i], feed))
        return state, {name: log[name].at[i].set(value) for name, value in metrics.items()}

    first = jax.tree.map(lambda leaf: leaf[0], feed)
    shapes = jax.eval_shape(step, state, first)[1]
    steps = feed.puzzle.shape[0]
    empty = {name: jnp.full((steps, *each.shape), jnp.nan, jnp.float32) for name, each in shapes.items()}
    state, log = jax.lax.fori_loop(jnp.int32(0), count, body, (state, empty))
    if mesh is None:
        return state, log
    state = jax.lax.with_sharding_constraint(state, on_mesh(mesh, state_specs(state, mesh)))
    return state, jax.lax.with_sharding_constraint(log, NamedSharding(mesh, WHOLE))
