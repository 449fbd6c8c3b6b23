"""Times of device calls, taken where they end: on the device, not where the host asks."""

import queue
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp

from trm_scaling.cost.roofline import DeviceRates


@dataclass(frozen=True)
class Spread:
    """Repeats of one measurement, in its unit."""

    minimum: float
    median: float
    maximum: float
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Raises ValueError when there are none."""
        if not values:
            raise ValueError("nothing was measured")
        return cls(min(values), statistics.median(values), max(values), len(values))


@dataclass(frozen=True)
class DeviceCall:
    """One call, in seconds of `time.perf_counter`."""

    dispatched: float
    finished: float


class Stopwatch:
    """Notes when each dispatched call ends, in a thread that waits for it, so that nobody else has to."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[float, Any] | None] = queue.SimpleQueue()
        self._calls: list[DeviceCall] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join()

    def dispatched(self, at: float, result: Any) -> None:
        """A call was dispatched `at` that second; `result` is ready when it ends."""
        self._waiting.put((at, result))

    def calls(self) -> list[DeviceCall]:
        """Every call, in order; complete once the `with` block is left."""
        return list(self._calls)

    def _watch(self) -> None:
        while (entry := self._waiting.get()) is not None:
            jax.block_until_ready(entry[1])
            self._calls.append(DeviceCall(entry[0], time.perf_counter()))


def busy_seconds(calls: Sequence[DeviceCall]) -> list[float]:
    """Seconds that the device worked on each of `calls`, which it runs one after another."""
    ends = [calls[0].dispatched, *(call.finished for call in calls)]
    return [call.finished - max(call.dispatched, before) for call, before in zip(calls, ends, strict=False)]


def host_gap(calls: Sequence[DeviceCall]) -> float:
    """Share of the time from the first dispatch to the last end in which no call was on the device.

    A call that is dispatched before the one before it ends leaves no gap.
    """
    total = calls[-1].finished - calls[0].dispatched
    return max(0.0, 1 - sum(busy_seconds(calls)) / total)


def timed(work: Callable[[], Any], repeats: int) -> Spread:
    """Seconds of `work` with its results, `repeats` times."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(work())
        seconds.append(time.perf_counter() - began)
    return Spread.of(seconds)


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
