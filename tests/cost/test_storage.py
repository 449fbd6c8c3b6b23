"""Bytes on disk: the checkpoint against the state itself."""

import jax

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.cost.memory import storage_of
from trm_scaling.train.state import init_state


def stored(config: RunConfig, tested: int | None = 1000) -> tuple[int, int, int]:
    found = storage_of(config, Schedule.of(config, 1000), 11, 81, tested)
    return found.checkpoint, found.disk, found.results


def test_a_checkpoint_holds_the_state() -> None:
    config = RunConfig()
    state = jax.eval_shape(lambda: init_state(config, 11, 81, 1))
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert abs(stored(config)[0] - held) < 10_000


def test_a_run_folder_holds_two_checkpoints_the_best_and_the_one_being_written() -> None:
    checkpoint, disk, results = stored(RunConfig())
    assert disk == 4 * checkpoint + results


def test_results_grow_with_what_was_tested() -> None:
    config = RunConfig()
    by_puzzle = (stored(config, 1000)[2] - stored(config, None)[2]) / 1000
    assert by_puzzle == 12 + config.arch.halt_max_steps
