"""Hand-written GPU kernels for passes without a gradient (Pallas, lowered through Triton).

XLA writes gate, up and their product to memory between three products; on a GPU that is most of a pass's
traffic. `mix_and_normalise` keeps everything between a block's input and its normalised sum on the chip, and
`gated_product` everything between the input and the hidden layer. Each rounds where the plain version in
`models.layers` does, which is its oracle. No GPU has run them: `system.gate_kernel` is off by default.

On a CPU they are interpreted, which is for tests. On a TPU the plain version is taken: XLA puts gates into
products there by itself. Shapes: B batch, L positions, D width, F hidden, N = B*D columns or R = L*B rows.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from trm_scaling.config import ArchConfig
from trm_scaling.models import layers
from trm_scaling.models.layers import Params, Rotation, State

MOST_POSITIONS = 128
"""All positions of a tile stay in registers; more of them do not fit."""

_LEAST = 16
"""Triton's products take no smaller side."""

_COLUMNS, _HIDDEN = 64, 64
"""Columns that one program of `mix_and_normalise` takes, and the part of F it works on at once."""

_TILE_ROWS, _TILE_HIDDEN, _TILE_WIDTH = 128, 128, 64
"""Of a tile of `gated_product`, and the part of D it adds up at once."""


def frozen_block(platform: str | None) -> Callable[[ArchConfig, Params, State, Rotation | None], State]:
    """`layers.block` for a pass without a gradient, by these kernels where a program for `platform` (None:
    JAX's default) has them.
    """
    if (platform or jax.default_backend()) == "tpu":
        return layers.block
    return partial(_block, interpret=(platform or jax.default_backend()) == "cpu")


def _block(
    arch: ArchConfig, params: Params, x: State, rotation: Rotation | None, *, interpret: bool
) -> State:
    eps, mlp = arch.rms_norm_eps, params["mlp"]
    if arch.mlp_t and x.shape[0] <= MOST_POSITIONS:
        mix = params["mix"]
        x = mix_and_normalise(mix["gate"], mix["up"], mix["down"], x, eps, interpret=interpret)
    else:
        x = layers.mixed(arch, params, x, rotation)
    hidden = gated_product(x.reshape(-1, x.shape[-1]), mlp["gate"], mlp["up"], interpret=interpret)
    return layers.rms_norm(x + (hidden @ mlp["down"]).reshape(x.shape), axis=-1, eps=eps)


def mix_and_normalise(
    gate: Float[Array, "L F"],
    up: Float[Array, "L F"],
    down: Float[Array, "F L"],
    x: Float[Array, "L B D"],
    eps: float,
    *,
    interpret: bool = False,
) -> Float[Array, "L B D"]:
    """`rms_norm(x + mix_positions(params, x), axis=0)` for at most `MOST_POSITIONS` positions, one kernel."""
    length, batch, width = x.shape
    hidden, columns = gate.shape[1], batch * width
    sizes = _Sizes(_padded(length), min(_HIDDEN, _padded(hidden)), min(_COLUMNS, _padded(columns)))
    kernel = partial(_mix_kernel, sizes=sizes, eps=eps)
    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((length, columns), x.dtype),
        grid=(pl.cdiv(columns, sizes.columns),),
        compiler_params=None if interpret else triton.CompilerParams(num_warps=8, num_stages=2),
        interpret=interpret,
        name="mix_and_normalise",
    )(gate, up, down, x.reshape(length, columns)).reshape(x.shape)


def gated_product(
    x: Float[Array, "R D"], gate: Float[Array, "D F"], up: Float[Array, "D F"], *, interpret: bool = False
) -> Float[Array, "R F"]:
    """`silu(x @ gate) * (x @ up)`, one kernel."""
    (rows, width), hidden = x.shape, gate.shape[1]
    tile = _Sizes(
        min(_TILE_ROWS, _padded(rows)), min(_TILE_WIDTH, _padded(width)), min(_TILE_HIDDEN, _padded(hidden))
    )
    return pl.pallas_call(
        partial(_gated_kernel, tile=tile),
        out_shape=jax.ShapeDtypeStruct((rows, hidden), x.dtype),
        # Tiles of the same rows one after another, so that the rows are read from the cache.
        grid=(pl.cdiv(rows, tile.rows), pl.cdiv(hidden, tile.columns)),
        compiler_params=None if interpret else triton.CompilerParams(num_warps=8, num_stages=3),
        interpret=interpret,
        name="gated_product",
    )(x, gate, up)


class _Sizes(NamedTuple):
    """Of a tile, powers of two."""

    rows: int
    part: int
    """What is worked on at once of the axis that a product sums over."""
    columns: int


def _padded(size: int) -> int:
    return max(_LEAST, pl.next_power_of_2(size))


def _mix_kernel(
    gate_ref: Any, up_ref: Any, down_ref: Any, x_ref: Any, out_ref: Any, *, sizes: _Sizes, eps: float
) -> None:
    (length, hidden), columns = gate_ref.shape, x_ref.shape[1]
    position = jnp.arange(sizes.rows)
    column = pl.program_id(0) * sizes.columns + jnp.arange(sizes.columns)
    x = _tile(x_ref, position, column)

    def part(number: Any, total: Array) -> Array:
        units = number * sizes.part + jnp.arange(sizes.part)
        gate = _dot(_tile(gate_ref, position, units).T, x).astype(x.dtype)
        up = _dot(_tile(up_ref, position, units).T, x).astype(x.dtype)
        return total + _dot(_tile(down_ref, units, position).T, _gated(gate, up))

    zeros = jnp.zeros((sizes.rows, sizes.columns), jnp.float32)
    mixed = jax.lax.fori_loop(0, pl.cdiv(hidden, sizes.part), part, zeros).astype(x.dtype)
    # Rows beyond the last position are zero: their weights are.
    summed = _rounded(x.astype(jnp.float32) + mixed.astype(jnp.float32), x.dtype)
    scale = jax.lax.rsqrt(jnp.sum(summed * summed, axis=0) / length + eps)
    inside = (position < length)[:, None] & (column < columns)[None, :]
    triton.store(
        out_ref.at[position[:, None], column[None, :]], (summed * scale[None, :]).astype(x.dtype), mask=inside
    )


def _gated_kernel(x_ref: Any, gate_ref: Any, up_ref: Any, out_ref: Any, *, tile: _Sizes) -> None:
    (rows, width), hidden = x_ref.shape, gate_ref.shape[1]
    row = pl.program_id(0) * tile.rows + jnp.arange(tile.rows)
    unit = pl.program_id(1) * tile.columns + jnp.arange(tile.columns)

    def part(number: Any, totals: tuple[Array, Array]) -> tuple[Array, Array]:
        channel = number * tile.part + jnp.arange(tile.part)
        x = _tile(x_ref, row, channel)
        return (
            totals[0] + _dot(x, _tile(gate_ref, channel, unit)),
            totals[1] + _dot(x, _tile(up_ref, channel, unit)),
        )

    zeros = jnp.zeros((tile.rows, tile.columns), jnp.float32)
    sums = jax.lax.fori_loop(0, pl.cdiv(width, tile.part), part, (zeros, zeros))
    gate, up = (each.astype(x_ref.dtype) for each in sums)
    inside = (row < rows)[:, None] & (unit < hidden)[None, :]
    triton.store(out_ref.at[row[:, None], unit[None, :]], _gated(gate, up), mask=inside)


def _tile(ref: Any, rows: Array, columns: Array) -> Array:
    """`ref[rows, columns]`, zero beyond its end."""
    inside = (rows < ref.shape[0])[:, None] & (columns < ref.shape[1])[None, :]
    at = jnp.minimum(rows, ref.shape[0] - 1)[:, None], jnp.minimum(columns, ref.shape[1] - 1)[None, :]
    return triton.load(ref.at[at], mask=inside, other=0.0)


def _gated(gate: Array, up: Array) -> Array:
    """silu(gate) * up, rounded where arithmetic in their own type would be; Triton has it for float32."""
    wide = gate.astype(jnp.float32)
    share = _rounded(1 / (1 + jnp.exp(-wide)), gate.dtype)
    return (_rounded(wide * share, gate.dtype) * up.astype(jnp.float32)).astype(gate.dtype)


def _rounded(wide: Array, dtype: jnp.dtype) -> Array:
    return wide.astype(dtype).astype(jnp.float32)


def _dot(left: Array, right: Array) -> Array:
    exact = jax.lax.Precision.HIGHEST if left.dtype == jnp.float32 else None
    return jnp.dot(left, right, precision=exact, preferred_element_type=jnp.float32)
