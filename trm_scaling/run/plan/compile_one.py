"""A process that compiles one training call and writes what the compiler said: `python -m` this module.

Standard input: JSON with `config` and `slice`, and `known`, the `Program` that need not be compiled again.
Standard output, last line: an `Answer` as JSON. It is a process of its own, since a compiler that runs
out of memory or crashes takes its process along.
"""

import json
import sys
from dataclasses import asdict
from typing import Any


def main() -> None:
    """Answer the question on standard input."""
    from trm_scaling.config import RunConfig
    from trm_scaling.parallel.mesh import make_mesh
    from trm_scaling.parallel.topology import described_devices
    from trm_scaling.train.ahead import DoesNotFit, compiled, digest, lowered

    asked = json.load(sys.stdin)
    config = RunConfig.model_validate(asked["config"])
    program = lowered(config, make_mesh(config, described_devices(asked["slice"])))
    found: dict[str, Any] = {"digest": digest(program), "versions": _versions()}
    if found == asked["known"]:
        outcome: dict[str, Any] | None = None
    else:
        try:
            outcome = {"fits": True, **asdict(compiled(program))}
        except DoesNotFit as refused:
            outcome = {"fits": False, "seconds": refused.seconds, "needed_bytes": refused.needed_bytes}
    print(json.dumps({"program": found, "outcome": outcome}))


def _versions() -> dict[str, str]:
    """Of what decides the outcome."""
    from importlib.metadata import version

    return {name: version(name) for name in ("jax", "jaxlib", "libtpu")}


if __name__ == "__main__":
    main()
