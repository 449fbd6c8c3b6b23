"""What every leaf of a state is, before it is saved and after it is restored, on any mesh.

    python -m tests.parallel.restored OUT ROOT [--coordinator HOST:PORT --count N --index I]

Whoever finds no state under ROOT takes a few steps, writes `OUT/saved.json` of the state that it holds,
and saves it. Then everybody restores it and writes `OUT/restored.json`: the SHA-256 of each leaf.

Processes meet between compiling a program and running it: Gloo waits 30 s for the last process of a sum, and
where many share a core they compile for minutes, one much longer than another.
"""

import argparse
import hashlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from tests.parallel.steps import CALL, Work
from trm_scaling.checkpoint.leaves import named_leaves
from trm_scaling.checkpoint.store import CheckpointStore
from trm_scaling.io.mirror import refresh
from trm_scaling.parallel.hosts import join, rendezvous
from trm_scaling.parallel.sharding import WHOLE
from trm_scaling.train.state import TrainState


def digests(work: Work, state: TrainState) -> dict[str, str]:
    """Of the bytes of each leaf, put together from all devices."""
    whole = NamedSharding(work.mesh, WHOLE)
    gather = jax.jit(lambda leaves: leaves, out_shardings=whole).lower(state).compile()
    work.hosts.barrier("gather-compiled")
    leaves = named_leaves(jax.tree.map(np.asarray, gather(state)))
    present = {name: np.asarray(leaf) for name, leaf in leaves.items() if leaf is not None}
    return {name: hashlib.sha256(leaf.tobytes()).hexdigest() for name, leaf in present.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--coordinator")
    parser.add_argument("--count", type=int)
    parser.add_argument("--index", type=int)
    given = parser.parse_args()
    hosts = join(rendezvous(given.coordinator, given.count, given.index), 300)
    refresh(given.root)  # of what another mirror of a bucket has saved
    work = Work(given.root, 1, hosts)

    def write(name: str, state: TrainState) -> None:
        found = digests(work, state)
        if hosts.is_first:
            given.out.mkdir(parents=True, exist_ok=True)
            (given.out / f"{name}.json").write_text(json.dumps(found))

    with CheckpointStore(work.states, keep=1, hosts=hosts) as store:
        if store.latest_step() is None:
            state = work.start()
            feed = work.feeder.feed(0, CALL)
            program = work.program(state)
            hosts.barrier("step-compiled")
            state, _ = program(state, work.hyper, feed, jnp.int32(CALL))
            write("saved", state)
            store.save(CALL, state, {}, score=None)
            store.wait()
        state, _ = store.restore(CALL, like=work.start())
    write("restored", state)
    hosts.end()


if __name__ == "__main__":
    main()
