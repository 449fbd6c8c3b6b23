"""Our training step against the plain formulation of it, taking turns on the same device.

    python -m benchmarks.step                                    # what `make bench` prints
    python -m benchmarks.step --case 512 16 4 --repeats 7 --json

A case is a width, a batch and the puzzles that our step works through at once; 9x9 boards, 97 positions,
T 3, n 6, float32, one step a call. The minimum of the repeats is what the step needs on a quiet machine,
the median what it took.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.plain import plain_state, plain_step
from trm_scaling.bench.step import compile_call, stand_in_dataset
from trm_scaling.config import RunConfig
from trm_scaling.cost import flops_per_sample
from trm_scaling.run.compilation import configure_jax
from trm_scaling.tasks.task import spec_of
from trm_scaling.train.state import TrainState
from trm_scaling.train.step import Batch

CASES = ((512, 16, 4), (128, 64, 4))
"""(width, batch, puzzles at once) of the table."""


@dataclass
class Way:
    """One formulation of a case."""

    name: str
    step: Callable[[TrainState], tuple[TrainState, Any]]
    state: TrainState
    compile_s: float
    seconds: list[float] = field(default_factory=list)

    def once(self) -> float:
        """Take a step; its seconds."""
        began = time.perf_counter()
        self.state, rest = self.step(self.state)
        jax.block_until_ready((self.state, rest))
        return time.perf_counter() - began


def case_config(width: int, batch: int, at_once: int) -> RunConfig:
    """The published recursion at `width`, in float32."""
    return RunConfig.model_validate(
        {
            "arch": {"hidden_size": width, "puzzle_emb_ndim": width, "forward_dtype": "float32"},
            "data": {"source": "generated"},
            "global_batch_size": batch,
            "system": {"micro_batch_size": at_once, "steps_per_call": 1},
        }
    )


def ways(config: RunConfig) -> list[Way]:
    """Ours and the plain one, compiled and run once each."""
    dataset = stand_in_dataset(config)
    ours = compile_call(config, dataset)
    feed = ours.feeder.feed(0, 1)
    state, hyper = ours.arguments
    batch = Batch(feed.inputs[0], feed.labels[0], feed.puzzle_ids[0])
    plain = plain_state(jax.tree.map(jnp.copy, state))
    began = time.perf_counter()
    lowered = jax.jit(partial(plain_step, config), donate_argnums=0).lower(plain, hyper, batch)
    program = lowered.compile()
    compile_s = time.perf_counter() - began
    both = [
        Way("plain", lambda state: program(state, hyper, batch), plain, compile_s),
        Way(
            "ours",
            lambda state: ours.program(state, hyper, feed, jnp.int32(1)),
            state,
            ours.trace_s + ours.compile_s,
        ),
    ]
    for way in both:
        way.once()
    return both


def measure(case: tuple[int, int, int], repeats: int) -> dict[str, Any]:
    """The figures of one case."""
    width, batch, at_once = case
    config = case_config(*case)
    both = ways(config)
    for _ in range(repeats):
        for way in both:
            way.seconds.append(way.once())
    flops = batch * flops_per_sample(
        config.arch, spec_of(config.data).vocab_size, spec_of(config.data).seq_len
    )
    plain, ours = both
    return {
        "width": width,
        "batch": batch,
        "at_once": at_once,
        "repeats": repeats,
        "flops_per_step": flops,
        "ratio_of_minima": min(plain.seconds) / min(ours.seconds),
        "ratio_of_medians": statistics.median(plain.seconds) / statistics.median(ours.seconds),
        **{
            way.name: {
                "min_s": min(way.seconds),
                "median_s": statistics.median(way.seconds),
                "compile_s": way.compile_s,
                "flops_per_s": flops / min(way.seconds),
            }
            for way in both
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--case", type=int, nargs=3, action="append", metavar=("WIDTH", "BATCH", "AT_ONCE"), dest="cases"
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one line of JSON a case")
    options = parser.parse_args()
    configure_jax()
    if not options.json:
        print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {options.repeats} repeats, in turn")
        print("width  batch  step    min       median    GFLOP/s  compile")
    for case in options.cases or CASES:
        found = measure(tuple(case), options.repeats)
        if options.json:
            print(json.dumps(found), flush=True)
            continue
        for name in ("plain", "ours"):
            row = found[name]
            print(
                f"{found['width']:5}  {found['batch']:5}  {name:6}  {row['min_s']:6.3f} s  "
                f"{row['median_s']:6.3f} s  {row['flops_per_s'] / 1e9:7.0f}  {row['compile_s']:5.1f} s"
            )
        print(
            f"              ratio   {found['ratio_of_minima']:6.2f} x  {found['ratio_of_medians']:6.2f} x",
            flush=True,
        )


if __name__ == "__main__":
    main()
