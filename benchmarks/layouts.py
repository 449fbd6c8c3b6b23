"""How should the state lie in memory? One supervision step with gradients, four ways to mix positions.

    python -m benchmarks.layouts --batch 64 --positions 97 --width 128 --cycles 3 6 --repeats 7

The layouts take turns, so that a machine whose speed drifts treats them alike; the minimum and the
median of the repeats are printed. `einsum` is the plain formulation on (B, L, D).
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Params = dict[str, jax.Array]
Block = Callable[[Params, jax.Array], jax.Array]


def inner_width(width: int) -> int:
    """SwiGLU's inner width at expansion 4."""
    return -(-round(4 * width * 2 / 3) // 256) * 256


def rms_norm(x: jax.Array, axis: int) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis, keepdims=True) + 1e-5)


def gated(x: jax.Array, axis: int) -> jax.Array:
    gate, up = jnp.split(x, 2, axis)
    return jax.nn.silu(gate) * up


def mix_width(params: Params, x: jax.Array) -> jax.Array:
    return rms_norm(x + gated(x @ params["width_up"], -1) @ params["width_down"], -1)


def einsum_bld(params: Params, x: jax.Array) -> jax.Array:
    hidden = gated(jnp.einsum("bld,lf->bdf", x, params["up"]), -1)
    return mix_width(params, rms_norm(x + jnp.einsum("bdf,fl->bld", hidden, params["down"]), 1))


def transposed_bld(params: Params, x: jax.Array) -> jax.Array:
    batch, length, width = x.shape
    flat = x.transpose(0, 2, 1).reshape(batch * width, length)
    flat = rms_norm(flat + gated(flat @ params["up"], -1) @ params["down"], -1)
    return mix_width(params, flat.reshape(batch, width, length).transpose(0, 2, 1))


def plain_lbd(params: Params, x: jax.Array) -> jax.Array:
    flat = x.reshape(x.shape[0], -1)
    rows = (((0,), (0,)), ((), ()))
    hidden = gated(jax.lax.dot_general(params["up"], flat, rows), 0)
    mixed = rms_norm(flat + jax.lax.dot_general(params["down"], hidden, rows), 0)
    return mix_width(params, mixed.reshape(x.shape))


def supervision_step(block: Block, cycles: tuple[int, int], unroll: bool) -> Callable[..., Any]:
    """The gradient of a supervision step of T x n passes of a two-block network."""
    T, n = cycles

    def repeat(step: Callable[[Any], Any], start: Any, times: int) -> Any:
        if unroll:
            for _ in range(times):
                start = step(start)
            return start
        return jax.lax.scan(lambda z, _: (step(z), None), start, None, length=times)[0]

    def loss(layers: list[Params], z_H: jax.Array, z_L: jax.Array, x: jax.Array) -> jax.Array:
        def network(z: jax.Array) -> jax.Array:
            for params in layers:
                z = block(params, z)
            return z

        def cycle(states: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            z_H, z_L = states
            z_L = repeat(lambda z: network(z + (z_H + x)), z_L, n)
            return network(z_H + z_L), z_L

        states = repeat(cycle, (z_H, z_L), T - 1)
        return jnp.mean(cycle(jax.lax.stop_gradient(states))[0] ** 3)

    return jax.jit(jax.grad(loss))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--positions", type=int, default=97)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--cycles", type=int, nargs=2, default=(3, 6), metavar=("T", "n"))
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    length, width = options.positions, options.width
    rng = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=(rows, columns)) / np.sqrt(rows), jnp.float32)

    layers = [
        {
            "up": matrix(length, 2 * inner_width(length)),
            "down": matrix(inner_width(length), length),
            "width_up": matrix(width, 2 * inner_width(width)),
            "width_down": matrix(inner_width(width), width),
        }
        for _ in range(2)
    ]
    states = [jnp.asarray(rng.normal(size=(options.batch, length, width)), jnp.float32) for _ in range(3)]
    ways: dict[str, tuple[Callable[..., Any], list[jax.Array]]] = {}
    for name, block in (("einsum", einsum_bld), ("transposed", transposed_bld), ("lbd", plain_lbd)):
        laid = [z.transpose(1, 0, 2) for z in states] if block is plain_lbd else states
        for unroll in (True, False):
            step = supervision_step(block, (options.cycles[0], options.cycles[1]), unroll)
            ways[f"{name}, {'unrolled' if unroll else 'scan'}"] = (step, laid)
    compile_s: dict[str, float] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for name, (step, laid) in ways.items():
        began = time.perf_counter()
        jax.block_until_ready(step(layers, *laid))
        compile_s[name] = time.perf_counter() - began
    for _ in range(options.repeats):
        for name, (step, laid) in ways.items():
            began = time.perf_counter()
            jax.block_until_ready(step(layers, *laid))
            seconds[name].append(time.perf_counter() - began)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {vars(options)}")
    for name, times in seconds.items():
        least, middle, first = min(times), np.median(times), compile_s[name]
        print(f"{name:22} min {least:.3f} s  median {middle:.3f} s  first {first:.1f} s")


if __name__ == "__main__":
    main()
