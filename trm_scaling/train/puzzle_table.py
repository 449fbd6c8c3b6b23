"""The step of the puzzle embeddings: sign-SGD on the rows that stand in a batch, and on no others.

A step costs the same whatever the number of rows. On a mesh each device writes the rows that it holds
(`parallel/sharding.py`), given the gradients of all.

Shapes: N rows of the table, n of them on one device, E numbers in a row, B batch, b of it on one device.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from trm_scaling.optim import TracedHparams, signed_step
from trm_scaling.parallel.sharding import ALL, WHOLE, batch_spec, cut_by_rows, places, sum_over_devices


def write_rows(
    table: Float[Array, "N E"],
    puzzle_ids: Int[Array, " B"],
    grads: Float[Array, "B E"],
    hyper: TracedHparams,
    lr_factor: Float[Array, ""],
    finite: Bool[Array, ""] | None = None,
    mesh: Mesh | None = None,
) -> Float[Array, "N E"]:
    """The table after sign-SGD on the rows of a batch; the gradients of equal identifiers are added first.

    `finite`: whether the step counts (float16); None: it does.
    """
    rule = partial(signed_step, hyper=hyper, lr_factor=lr_factor)
    if mesh is None or mesh.size == 1:
        return _written(table, puzzle_ids, grads, rule, finite)
    spec = cut_by_rows(table.shape[0], mesh.size)
    counts = jnp.bool_(True) if finite is None else finite

    def of_device(
        part: Float[Array, "n E"], ids: Int[Array, " b"], grads: Float[Array, "b E"], counts: Array
    ) -> Float[Array, "n E"]:
        if spec == WHOLE:
            # Few rows: their sums are less than the gradients of a batch.
            sums = sum_over_devices(jnp.zeros_like(part).at[ids].add(grads))
            seen = sum_over_devices(jnp.zeros(part.shape[0], jnp.int32).at[ids].set(1)) > 0
            return jnp.where((seen & counts)[:, None], rule(part, sums), part)
        ids, grads = (jax.lax.all_gather(each, ALL, tiled=True) for each in (ids, grads))
        here, held = places(part, ids)
        return _written(part, jnp.where(held, here, part.shape[0]), grads, rule, counts)

    batch = batch_spec()
    return jax.shard_map(
        of_device, mesh=mesh, in_specs=(spec, batch, batch, WHOLE), out_specs=spec, check_vma=False
    )(table, puzzle_ids, grads, counts)


def _written(
    table: Float[Array, "N E"],
    ids: Int[Array, " B"],
    grads: Float[Array, "B E"],
    rule: "partial[Array]",
    finite: Array | None,
) -> Float[Array, "N E"]:
    """`table` with the rows `ids` stepped, each once; an identifier of N is nobody's."""
    rows = table.shape[0]
    distinct, place = jnp.unique(ids, return_inverse=True, size=ids.shape[0], fill_value=rows)
    sums = jnp.zeros_like(grads).at[place].add(grads)
    old = jnp.take(table, distinct, axis=0, mode="clip")
    new = rule(old, sums)
    if finite is not None:
        new = jnp.where(finite, new, old)
    # Identifiers are distinct and in order, and those beyond the table are dropped: written in place.
    return table.at[distinct].set(new, mode="drop", indices_are_sorted=True)
