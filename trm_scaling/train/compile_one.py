"""A process that compiles one training call and writes what the compiler said: `python -m` this module.

Standard input: JSON with `config` and `target`, and `known`, the `Program` that need not be compiled again.
Standard output: a line `compiling` when the compiler begins, and as the last line an `Answer` as JSON. It is
a process of its own, since a compiler that runs out of memory or crashes takes its process along.
"""

import json
import sys
from typing import Any

from trm_scaling.tasks.task import spec_of

_GPU_COMPILERS = ("jax-cuda12-pjrt", "jax-cuda13-pjrt")


def main() -> None:
    """Answer the question on standard input."""
    from trm_scaling.config import RunConfig
    from trm_scaling.cost import flops_per_sample
    from trm_scaling.cost.devices import TARGETS
    from trm_scaling.parallel.mesh import make_mesh
    from trm_scaling.parallel.topology import described_devices
    from trm_scaling.train.aot_compile import DoesNotFit, compiled, digest, lowered

    asked = json.load(sys.stdin)
    config = RunConfig.model_validate(asked["config"])
    chip = TARGETS[asked["target"]].chip
    mesh = make_mesh(config, described_devices(asked["target"]))
    program = lowered(config, mesh)
    samples = config.global_batch_size // mesh.size
    flops = samples * flops_per_sample(config.arch, *spec_of(config.data)[:2])
    found: dict[str, Any] = {"digest": digest(program), "versions": _versions(chip.backend)}
    if found == asked["known"]:
        outcome: dict[str, Any] | None = None
    else:
        print("compiling", flush=True)
        try:
            outcome = compiled(program, chip, config.arch.forward_dtype, flops).model_dump()
        except DoesNotFit as refused:
            outcome = {"fits": False, "seconds": refused.seconds, "needed_bytes": refused.needed_bytes}
    print(json.dumps({"program": found, "outcome": outcome}))


def _versions(backend: str) -> dict[str, str]:
    """Of what decides the outcome."""
    from importlib.metadata import PackageNotFoundError, version

    # The CUDA compiler is in the plug-in of the CUDA that is installed.
    found = {}
    for name in ("jax", "jaxlib", *(_GPU_COMPILERS if backend == "gpu" else ("libtpu",))):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
