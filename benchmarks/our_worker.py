"""Training steps of ours, for `python -m benchmarks.beside_public`.

python -m benchmarks.our_worker '{"width": 512, "batch": 16, "at_once": 4, "dtype": "bfloat16"}'
python -m benchmarks.our_worker '{"profile": "laptop", "dtype": "float32"}'
"""

import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.step import case_config
from trm_scaling.bench.step import compile_call, stand_in_dataset
from trm_scaling.config import RunConfig
from trm_scaling.io.study import find_study
from trm_scaling.run.compilation import configure_jax
from trm_scaling.run.planned import plan_run


def config_of(case: dict[str, Any]) -> RunConfig:
    """The configuration of a case: a profile's baseline, or the published recursion at a width."""
    if "profile" in case:
        fields = [f"arch.forward_dtype={case['dtype']}", "data.source=generated"]
        return plan_run(find_study(None), "baseline", case["profile"], fields).config
    config = case_config(case["width"], case["batch"], case["at_once"])
    arch = config.arch.model_copy(update={"forward_dtype": case["dtype"]})
    return config.model_copy(update={"arch": arch})


def main() -> None:
    """Print the version; then, for every line read, take that many steps and print their seconds."""
    configure_jax()
    config = config_of(json.loads(sys.argv[1]))
    compiled = compile_call(config, stand_in_dataset(config))
    state, hparams = compiled.arguments
    most = config.system.steps_per_call
    feed = compiled.feeder.feed(0, most)
    state, metrics = compiled.program(state, hparams, feed, jnp.int32(1))
    jax.block_until_ready(state)
    print(json.dumps({"version": f"jax {jax.__version__}", "compile_s": compiled.compile_s}), flush=True)
    for line in sys.stdin:
        left = int(line)
        processor, clock = time.process_time(), time.perf_counter()
        while left:
            steps = min(left, most)
            state, metrics = compiled.program(state, hparams, feed, jnp.int32(steps))
            jax.block_until_ready(state)
            left -= steps
        seconds = {"processor_s": time.process_time() - processor, "clock_s": time.perf_counter() - clock}
        loss = float(np.asarray(metrics["train/loss"])[steps - 1])
        print(json.dumps(seconds | {"loss": loss}), flush=True)


if __name__ == "__main__":
    main()
