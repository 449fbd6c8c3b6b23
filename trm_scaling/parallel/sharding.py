"""What lies where on a mesh, and the exchange between its devices.

In a training step devices exchange the sum of their gradients and a few scalars. With
`system.parameter_shards` they also gather the parameters, once a step, and scatter the sum.

A table of many rows, of which a batch reads few, lies cut by rows over all devices; one of few lies whole on
each. Every device then knows all identifiers of the batch, a few bytes each, and what is exchanged beside
them are rows of the batch: each device gives those that it holds.

Shapes: N rows of the table, n of them on one device, E numbers in a row, B batch, b of it on one device.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int

from trm_scaling.parallel.mesh import DATA, MODEL

WHOLE = P()
"""A whole copy on every device."""


def batch_spec(axis: int = 0) -> P:
    """The batch lies along `axis`, an equal share of it on each device."""
    return P(*[None] * axis, (DATA, MODEL))


def parameter_spec(shape: tuple[int, ...], shards: int) -> P:
    """Cut along the longest axis that `shards` divides; whole where there is none, or one shard."""
    cut = [axis for axis, size in enumerate(shape) if size and size % shards == 0]
    if shards == 1 or not cut:
        return WHOLE
    longest = max(cut, key=lambda axis: shape[axis])
    return P(*[None] * longest, MODEL)


def parameter_specs(tree: Any, shards: int) -> Any:
    """`parameter_spec` of each leaf of `tree` (arrays or their shapes)."""
    return jax.tree.map(lambda leaf: parameter_spec(tuple(leaf.shape), shards), tree)


def on_mesh(mesh: Mesh, specs: Any) -> Any:
    """Each spec of a pytree as a sharding of `mesh`."""
    return jax.tree.map(
        lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda leaf: isinstance(leaf, P)
    )


def with_shardings(shapes: Any, shardings: Any) -> Any:
    """`shapes`, each with the sharding that its array will have."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )


def placed(tree: Any, shardings: Any) -> Any:
    """Arrays that every process has alike, each placed by its sharding; a device gets its part alone."""

    def place(leaf: Any, sharding: NamedSharding) -> jax.Array:
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(place, tree, shardings)


def gathered(tree: Any, mesh: Mesh) -> Any:
    """`tree` with a whole copy of every leaf on each device. All processes must call it."""
    whole = NamedSharding(mesh, WHOLE)
    if all(leaf.sharding.is_equivalent_to(whole, leaf.ndim) for leaf in jax.tree.leaves(tree)):
        return tree
    return jax.jit(lambda leaves: leaves, out_shardings=whole)(tree)


def gather_parameters(params: Any, specs: Any) -> Any:
    """Inside `shard_map`: whole parameters from the parts that `specs` describe."""

    def gather(leaf: jax.Array, spec: P) -> jax.Array:
        axis = _cut_axis(spec)
        return leaf if axis is None else jax.lax.all_gather(leaf, MODEL, axis=axis, tiled=True)

    return jax.tree.map(gather, params, specs)


def sum_gradients(gradients: Any, specs: Any) -> Any:
    """Inside `shard_map`: the gradients of all devices added up, each device keeping what `specs` says."""

    def add(leaf: jax.Array, spec: P) -> jax.Array:
        axis = _cut_axis(spec)
        if axis is None:
            return sum_over_devices(leaf)
        part = jax.lax.psum_scatter(leaf, MODEL, scatter_dimension=axis, tiled=True)
        return jax.lax.psum(part, DATA)

    return jax.tree.map(add, gradients, specs)


def sum_over_devices(value: jax.Array) -> jax.Array:
    """Inside `shard_map`: `value` of all devices added up, on each of them."""
    return jax.lax.psum(value, (DATA, MODEL))


def _cut_axis(spec: P) -> int | None:
    return next((axis for axis, name in enumerate(spec) if name is not None), None)


ALL = (DATA, MODEL)

FEWEST_CUT = 4096
"""Rows from which on a table is cut: fewer are cheaper to have everywhere than to exchange."""


def cut_by_rows(rows: int, devices: int) -> P:
    """How a table of `rows` lies on a mesh of `devices`: cut where each can have an equal part of many."""
    return P(ALL) if devices > 1 and rows >= FEWEST_CUT and rows % devices == 0 else WHOLE


def read_rows(
    table: Float[Array, "N E"], puzzle_ids: Int[Array, " B"], mesh: Mesh | None = None
) -> Float[Array, "B E"]:
    """The rows of a batch, each on the device that works on it."""
    if mesh is None or cut_by_rows(table.shape[0], mesh.size) == WHOLE:
        return jnp.take(table, puzzle_ids, axis=0)

    def of_device(part: Float[Array, "n E"], ids: Int[Array, " b"]) -> Float[Array, "b E"]:
        here, held = places(part, jax.lax.all_gather(ids, ALL, tiled=True))
        rows = jnp.where(held[:, None], jnp.take(part, jnp.where(held, here, 0), axis=0), 0)
        return jax.lax.psum_scatter(rows, ALL, tiled=True)

    return jax.shard_map(
        of_device, mesh=mesh, in_specs=(P(ALL), batch_spec()), out_specs=batch_spec(), check_vma=False
    )(table, puzzle_ids)


def places(part: Float[Array, "n E"], ids: Int[Array, " B"]) -> tuple[Int[Array, " B"], Bool[Array, " B"]]:
    """Where each identifier lies in this device's part, and whether it does."""
    here = ids - jax.lax.axis_index(ALL) * part.shape[0]
    return here, (here >= 0) & (here < part.shape[0])
