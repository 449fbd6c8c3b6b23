"""Everything a run is at one moment: the pytree that a checkpoint holds."""

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, UInt32

from trm_scaling.config import ArchConfig, RunConfig
from trm_scaling.models import Carry, empty_carry, init
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.optim import LossScale, init_optimizer
from trm_scaling.parallel.mesh import MODEL
from trm_scaling.parallel.sharding import (
    WHOLE,
    batch_spec,
    cut_by_rows,
    gathered,
    on_mesh,
    parameter_specs,
    placed,
    with_shardings,
)

Params = dict[str, Any]

INIT, EXPLORE, DRAW = 2**31, 2**31 + 1, 2**31 + 2
"""Streams folded into the run's key; augmentation folds puzzle numbers, which lie far below."""


class Sizes(NamedTuple):
    """Of the data."""

    vocab_size: int
    seq_len: int
    num_puzzle_ids: int


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """A run after `step` steps. Randomness is a function of (key, step), so nothing else need be kept."""

    step: Int[Array, ""]
    params: Params
    buffers: Params
    """The fixed initial states of the recursion."""
    ema: Params | None
    """Average of the network's parameters (and of the puzzle embeddings, if the configuration says so)."""
    emas: tuple[Params, ...]
    """Further averages, one for each of `hyper.ema_rates`."""
    optimizer: Any
    carry: Carry
    loss_scale: LossScale | None
    """Only in float16."""
    key: UInt32[Array, " 2"]
    """The run's seed as raw key data."""


def network_of(params: Params) -> Params:
    """`params` without the puzzle embeddings, which have an optimiser of their own."""
    return {name: leaf for name, leaf in params.items() if name != PUZZLE_EMB}


def averaged_part(config: RunConfig, params: Params) -> Params:
    """The parameters that the moving average covers."""
    return params if config.ema_puzzle_emb else network_of(params)


def init_state(config: RunConfig, vocab_size: int, seq_len: int, num_puzzle_ids: int) -> TrainState:
    """The state before the first step; a function of `config` and the shapes of its data alone."""
    state = _without_rows(config, vocab_size, seq_len, num_puzzle_ids)
    carry = empty_carry(config.arch, config.global_batch_size, seq_len)
    # Leaves share buffers here (the average and the parameters, all zeros), and the step, which
    # donates its state, cannot donate one buffer twice.
    return jax.tree.map(jnp.copy, replace(state, carry=carry))


def init_state_on(
    mesh: Mesh, config: RunConfig, vocab_size: int, seq_len: int, num_puzzle_ids: int
) -> TrainState:
    """`init_state` on the devices of `mesh`, bit for bit, whatever their number."""
    state = _without_rows(config, vocab_size, seq_len, num_puzzle_ids)
    shardings = on_mesh(mesh, state_specs(state, mesh))
    # The carry is most of the state, and no host need hold them all.
    empty = partial(empty_carry, config.arch, config.global_batch_size, seq_len)
    carry = jax.jit(empty, out_shardings=on_mesh(mesh, carry_specs(state.carry)))()
    return replace(jax.tree.map(jnp.copy, placed(state, shardings)), carry=carry)


def state_shapes_on(
    mesh: Mesh, config: RunConfig, vocab_size: int, seq_len: int, num_puzzle_ids: int
) -> TrainState:
    """The shapes of `init_state_on` and where they lie: what a checkpoint is read into."""
    shapes = jax.eval_shape(lambda: init_state(config, vocab_size, seq_len, num_puzzle_ids))
    shardings = on_mesh(mesh, state_specs(shapes, mesh))
    placed_shapes: TrainState = with_shardings(shapes, shardings)
    return placed_shapes


def _without_rows(config: RunConfig, vocab_size: int, seq_len: int, num_puzzle_ids: int) -> TrainState:
    """`init_state` with a carry of no rows."""
    arch: ArchConfig = config.arch
    key = jax.random.key(config.seed)
    sizes = Sizes(vocab_size, seq_len, num_puzzle_ids)
    params, buffers = init(jax.random.fold_in(key, INIT), arch, sizes)
    return TrainState(
        step=jnp.int32(0),
        params=params,
        buffers=buffers,
        ema=averaged_part(config, params) if config.ema else None,
        emas=tuple(averaged_part(config, params) for _ in config.ema_rates),
        optimizer=init_optimizer(config.optimizer, network_of(params)),
        carry=empty_carry(arch, 0, seq_len),
        loss_scale=LossScale.first() if arch.forward_dtype == "float16" else None,
        key=jax.random.key_data(key),
    )


def carry_specs(carry: Carry) -> Any:
    """How a carry lies on a mesh: each device has its share of the rows."""
    return jax.tree.map(batch_spec, carry.batch_axes)


def state_specs(state: TrainState, mesh: Mesh) -> Any:
    """How a state lies on a mesh: parameters cut along its second axis, puzzle embeddings by rows."""

    def cut(tree: Any) -> Any:
        specs = parameter_specs(tree, mesh.shape[MODEL])
        if isinstance(tree, dict) and PUZZLE_EMB in tree:
            specs[PUZZLE_EMB] = cut_by_rows(tree[PUZZLE_EMB].shape[0], mesh.size)
        return specs

    specs: TrainState = jax.tree.map(lambda _: WHOLE, state)
    return replace(
        specs,
        params=cut(state.params),
        ema=cut(state.ema),
        emas=cut(state.emas),
        optimizer=cut(state.optimizer),
        carry=carry_specs(state.carry),
    )


def evaluation_params(params: Params, ema: Params | None) -> Params:
    """The weights to answer with: the current ones, with the moving average (if given) laid over them."""
    return params if ema is None else {**params, **ema}


def state_digest(state: TrainState) -> str:
    """SHA-256 of every parameter, average and buffer: equal digests are equal weights, bit for bit.

    Parameters in parts are put together first, which takes all processes.
    """
    return _digest_of((state.params, state.ema, state.buffers, *state.emas), state)


def trajectory_digest(state: TrainState) -> str:
    """`state_digest` without the averages, which training does not read: equal for runs of one trajectory."""
    return _digest_of((state.params, state.buffers), state)


def _digest_of(weights: Any, state: TrainState) -> str:
    mesh = getattr(state.step.sharding, "mesh", None)
    if mesh is not None:
        weights = gathered(weights, mesh)
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(weights):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()
