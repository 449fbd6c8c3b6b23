"""A table of many rows on a mesh, of which a batch reads few.

A table of many rows lies cut by rows over all devices; one of few lies whole on each. Every device then
knows all identifiers of the batch, a few bytes each, and what is exchanged beside them are rows of the
batch: each device gives those that it holds.

Shapes: N rows of the table, n of them on one device, E numbers in a row, B batch, b of it on one device.
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int

from trm_scaling.parallel.mesh import DATA, MODEL
from trm_scaling.parallel.sharding import WHOLE, batch_spec

ALL = (DATA, MODEL)

FEWEST_CUT = 4096
"""Rows from which on a table is cut: fewer are cheaper to have everywhere than to exchange."""


def cut_by_rows(rows: int, devices: int) -> P:
    """How a table of `rows` lies on a mesh of `devices`: cut where each can have an equal part of many."""
    return P(ALL) if devices > 1 and rows >= FEWEST_CUT and rows % devices == 0 else WHOLE


def read_rows(
    table: Float[Array, "N E"], puzzle_ids: Int[Array, " B"], mesh: Mesh | None = None
) -> Float[Array, "B E"]:
    """The rows of a batch, each with the slot that it is for."""
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
