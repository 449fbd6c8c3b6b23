"""A training step with tables of more and more puzzle embeddings: its time must not grow with the table.

python -m benchmarks.puzzle_table            # 1e3, 1e5 and 1e6 rows of 512 numbers (2 GB), under a minute
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.optim import TracedHparams
from trm_scaling.train.input_pipeline import Feed
from trm_scaling.train.multi_step import make_train_call
from trm_scaling.train.state import init_state

CELLS, VOCAB, WIDTH, BATCH, STEPS = 16, 6, 512, 32, 10


def config_of() -> RunConfig:
    """One layer of width 64 on 4x4 boards, so that the table's part of the step shows."""
    arch: dict[str, object] = {
        "L_layers": 1,
        "L_cycles": 1,
        "H_cycles": 1,
        "hidden_size": 64,
        "inner_multiple": 32,
    }
    arch |= {"puzzle_emb_len": WIDTH // 64, "puzzle_emb_ndim": WIDTH, "forward_dtype": "float32"}
    data = {"source": "generated", "box_rows": 2, "box_cols": 2}
    system = {"steps_per_call": STEPS}
    return RunConfig.model_validate(
        {"arch": arch, "data": data, "system": system, "global_batch_size": BATCH}
    )


def step_seconds(rows: int, repeats: int) -> float:
    """Median seconds of a step with a table of `rows`, over `repeats` calls of `STEPS` steps."""
    config = config_of()
    state = init_state(config, VOCAB, CELLS, rows)
    hyper = TracedHparams.of(config, Schedule.of(config, config.data.train_size))
    random = np.random.default_rng(0)
    tokens = jnp.asarray(random.integers(2, VOCAB, (STEPS, BATCH, CELLS)), jnp.uint8)
    ids = jnp.asarray(random.integers(0, rows, (STEPS, BATCH)), jnp.int32)
    feed = Feed(tokens, tokens, ids, jnp.zeros_like(ids), jnp.zeros_like(ids))
    call = make_train_call(config, 0)
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        state, _ = call(state, hyper, feed, jnp.int32(STEPS))
        jax.block_until_ready(state.step)
        seconds.append((time.perf_counter() - began) / STEPS)
    return float(np.median(seconds[1:]))  # the first one compiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=20)
    given = parser.parse_args()
    for rows in given.rows:
        print(f"{rows:>10,} rows  {1000 * step_seconds(rows, given.repeats):8.2f} ms a step", flush=True)


if __name__ == "__main__":
    main()
