"""Training steps of ours, for `python -m benchmarks.beside_public`.

python -m benchmarks.our_worker '{"dtype": "bfloat16", "width": 512, "batch": 16, "at_once": 4}'
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from trm_scaling.bench.stand_in import stand_in_dataset
from trm_scaling.bench.step import compile_call
from trm_scaling.config import RunConfig
from trm_scaling.io.study import find_study
from trm_scaling.run.compilation import configure_jax
from trm_scaling.run.planned import plan_run


def config_of(case):
    if case.get("profile"):
        fields = [f"arch.forward_dtype={case['dtype']}", "data.source=generated", *case.get("fields", [])]
        return plan_run(find_study(None), "baseline", case["profile"], fields).config
    width = case["width"]
    return RunConfig.model_validate(
        {
            "arch": {
                "hidden_size": width,
                "puzzle_emb_ndim": width,
                "forward_dtype": case["dtype"],
                **case.get("arch", {}),
            },
            "data": {"source": "generated"},
            "global_batch_size": case["batch"],
            "system": {"micro_batch_size": case["at_once"], "steps_per_call": 1, **case.get("system", {})},
        }
    )


def main() -> None:
    case = json.loads(sys.argv[1])
    configure_jax()
    config = config_of(case)
    compiled = compile_call(config, stand_in_dataset(config))
    state, hyper = compiled.arguments
    length = config.system.steps_per_call
    feed = compiled.feeder.feed(0, length)
    state, metrics = compiled.program(state, hyper, feed, jnp.int32(length))
    jax.block_until_ready(state)
    print(
        json.dumps(
            {
                "version": f"jax {jax.__version__}",
                "compile_s": compiled.compile_s,
                "trace_s": compiled.trace_s,
            }
        ),
        flush=True,
    )
    for line in sys.stdin:
        processor, clock = time.process_time(), time.perf_counter()
        done = 0
        while done < int(line):
            state, metrics = compiled.program(state, hyper, feed, jnp.int32(length))
            jax.block_until_ready(state)
            done += length
        n = done / int(line)
        seconds = {
            "processor_s": (time.process_time() - processor) / n,
            "clock_s": (time.perf_counter() - clock) / n,
        }
        print(json.dumps(seconds | {"loss": float(np.asarray(metrics["train/loss"])[-1])}), flush=True)


if __name__ == "__main__":
    main()
