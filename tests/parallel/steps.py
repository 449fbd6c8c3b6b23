"""Twenty training steps on any mesh, in any number of processes, and what they computed.

    python -m tests.parallel.steps OUT ROOT [--shards N] [--coordinator HOST:PORT --count N --index I]

Writes into the folder OUT: `batches.npz` (the augmented puzzles of every step, put together from all
devices), `gradients-0.npz` and `gradients-20.npz` (from the states saved in ROOT/checkpoints), the same with
a planted fault in `planted-20.npz`, `outcomes.npz` (an evaluation) and `collectives.json`. ROOT holds the
dataset and the states; whoever finds none there makes them.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from tests.parallel.collectives import collectives_of
from tests.train.tiny import config_of
from trm_scaling.checkpoint.store import CheckpointStore
from trm_scaling.config import RunConfig, Schedule
from trm_scaling.evaluation.predict import Predictor
from trm_scaling.evaluation.samples import Budget
from trm_scaling.evaluation.score import Evaluator
from trm_scaling.models import reset_halted
from trm_scaling.optim import TracedHparams
from trm_scaling.parallel.hosts import Hosts, join, rendezvous
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.parallel.sharding import gathered
from trm_scaling.tasks.build import ensure_dataset
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.train import step as step_module
from trm_scaling.train.input_pipeline import Feed, HostBatcher
from trm_scaling.train.multi_step import make_train_call
from trm_scaling.train.state import TrainState, init_state_on
from trm_scaling.train.step import Batch, batch_gradients

STEPS, CALL, BATCH, EVALUATED = 20, 5, 64, 37


def config(shards: int) -> RunConfig:
    """Float32; every share of the batch in two slices; rows that halt after different numbers of steps."""
    system = {
        "micro_batch_size": 32,
        "steps_per_call": CALL,
        "eval_batch_size": 10,
        "parameter_shards": shards,
    }
    data = {"train_size": 48, "val_size": EVALUATED, "test_size": 8, "num_aug": 7, "givens": None}
    run = config_of(global_batch_size=BATCH, system=system, epochs=40, eval_interval=40, eval_puzzles=8)
    return run.model_copy(update={"data": run.data.model_copy(update=data)})


class Work:
    """The run on the mesh of this program's devices."""

    def __init__(self, root: Path, shards: int, hosts: Hosts) -> None:
        self.config = config(shards)
        self.mesh: Mesh = make_mesh(self.config)
        self.hosts = hosts
        self.dataset: Dataset = ensure_dataset(self.config.data, root)
        self.hyper = TracedHparams.of(self.config, Schedule.of(self.config, self.dataset.num_puzzles))
        self.feeder = HostBatcher(self.config, self.dataset, self.mesh)
        self.states = root / "checkpoints"
        self._augmented = jax.jit(self._augment)

    def start(self) -> TrainState:
        shapes = (self.dataset.vocab_size, self.dataset.seq_len, self.dataset.num_puzzle_ids)
        return init_state_on(self.mesh, self.config, *shapes)

    def batch(self, feed: Feed, number: int) -> Batch:
        """The puzzles that a step offers its rows."""
        return self._augmented(feed, jnp.int32(number))

    def _augment(self, feed: Feed, number: Array) -> Batch:
        now = jax.tree.map(lambda leaf: leaf[number], feed)
        seed, augment = jnp.uint32(self.dataset.augmentation_seed), self.dataset.task.augment
        return Batch(*augment(seed, now.puzzle, now.augmentation, now.inputs, now.labels), now.puzzle_ids)

    def batches(self) -> dict[str, np.ndarray]:
        found = {}
        for start in range(0, STEPS, CALL):
            feed = self.feeder.feed(start, start + CALL)
            for number in range(CALL):
                whole = gathered(self.batch(feed, number), self.mesh)
                found[f"inputs-{start + number}"] = np.asarray(whole.inputs)
                found[f"labels-{start + number}"] = np.asarray(whole.labels)
        return found

    def program(self, state: TrainState) -> Any:
        call = make_train_call(self.config, self.dataset.augmentation_seed, self.mesh)
        return call.lower(state, self.hyper, self.feeder.feed(0, CALL), jnp.int32(CALL)).compile()

    def save_states(self, program: Any) -> None:
        """The states before step 1 and after step 20, unless they are there."""
        state = self.start()
        with CheckpointStore(self.states, keep=2, hosts=self.hosts) as store:
            if store.latest_step() is not None:
                return
            store.save(0, state, {}, score=None)
            store.wait()
            for done in range(0, STEPS, CALL):
                state, _ = program(state, self.hyper, self.feeder.feed(done, done + CALL), jnp.int32(CALL))
            store.save(STEPS, state, {}, score=None)

    def gradients(self, step: int) -> dict[str, np.ndarray]:
        """From the saved state and the batch after it, by the name of the parameter."""
        with CheckpointStore(self.states, keep=2, hosts=self.hosts) as store:
            state, _ = store.restore(step, like=self.start())
        assert int(state.step) == step

        def of(state: TrainState, batch: Batch) -> Any:
            carry = reset_halted(state.carry, state.buffers, *batch)
            return batch_gradients(self.config, state.params, carry, jnp.float32(1), self.mesh)[0]

        batch = self.batch(self.feeder.feed(step, step + CALL), 0)
        grads = gathered(jax.jit(of)(state, batch), self.mesh)
        named = jax.tree_util.tree_leaves_with_path(grads)
        return {jax.tree_util.keystr(path, simple=True): np.asarray(leaf) for path, leaf in named}

    def outcomes(self) -> dict[str, np.ndarray]:
        state = self.start()
        found = Evaluator(self.config, mesh=self.mesh)(state.params, state.buffers, self.dataset.val)
        varied = Budget(2, samples=3, noise=0.3, init="random", augment=True)
        answers = Predictor(self.config, varied, self.mesh)(state.params, state.buffers, self.dataset.val)
        samples = np.concatenate([np.asarray(each.loss) for each in answers], axis=2)
        of_steps = {"solved": found.solved, "cells_right": found.cells_right, "q_halt": found.q_halt}
        return {**of_steps, "samples": samples}


def without_sum(gradients: Any, specs: Any) -> Any:
    """The planted fault: every device keeps the gradients of its own rows."""
    return gradients


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--coordinator")
    parser.add_argument("--count", type=int)
    parser.add_argument("--index", type=int)
    given = parser.parse_args()
    at = rendezvous(given.coordinator, given.count, given.index)
    hosts = join(at, 60)
    work = Work(given.root, given.shards, hosts)

    def write(name: str, compute: Callable[[], dict[str, np.ndarray]]) -> None:
        arrays = compute()
        if hosts.is_first:
            given.out.mkdir(parents=True, exist_ok=True)
            np.savez(given.out / f"{name}.npz", **arrays)  # type: ignore[arg-type]

    program = work.program(work.start())
    work.save_states(program)
    write("batches", work.batches)
    write("gradients-0", lambda: work.gradients(0))
    write(f"gradients-{STEPS}", lambda: work.gradients(STEPS))
    if work.mesh.size > 1 and given.shards == 1:
        with mock.patch.object(step_module, "sum_gradients", without_sum):
            write(f"planted-{STEPS}", lambda: work.gradients(STEPS))
    write("outcomes", work.outcomes)
    if hosts.is_first:
        exchanged = [each._asdict() for each in collectives_of(program.as_text())]
        (given.out / "collectives.json").write_text(json.dumps(exchanged))
    hosts.end()


if __name__ == "__main__":
    main()
