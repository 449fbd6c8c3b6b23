"""What this device does at its best: one large product, one large sum, one small operation."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from trm_scaling.counting.roofline import DeviceRates

REPEATS = 5
CPU_SIZE, ACCELERATOR_SIZE = 2048, 8192
"""Rows and columns of the product; the sum is of arrays of four (CPU) and two times as many bytes."""
SMALL_OPERATIONS = 512


def device_rates(dtype: str) -> DeviceRates:
    """Measure the first device in `dtype`; a second on a CPU."""
    size = CPU_SIZE if jax.default_backend() == "cpu" else ACCELERATOR_SIZE
    kind = jnp.dtype(dtype)
    ones = jnp.ones((size, size), kind)
    precision = jax.lax.Precision.HIGHEST if dtype == "float32" else None
    product = _least(jax.jit(lambda a: jnp.matmul(a, a, precision=precision)), ones)
    large = jnp.ones((8, size, size), jnp.float32)
    # Donated, or a CPU would spend its time on fresh pages.
    summed = jax.jit(lambda a: a + 1.0, donate_argnums=0)
    large = jax.block_until_ready(summed(large))
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        large = jax.block_until_ready(summed(large))
        seconds.append(time.perf_counter() - began)
    small = jnp.ones((8, 8), jnp.float32)
    chain = _least(jax.jit(_chain), small)
    return DeviceRates(2 * size**3 / product, 2 * large.nbytes / min(seconds), chain / SMALL_OPERATIONS)


def _chain(x: jax.Array) -> jax.Array:
    for _ in range(SMALL_OPERATIONS // 2):
        x = jnp.tanh(x @ x)
    return x


def _least(work: Callable[[Any], Any], argument: Any) -> float:
    jax.block_until_ready(work(argument))
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(work(argument))
        seconds.append(time.perf_counter() - began)
    return min(seconds)
