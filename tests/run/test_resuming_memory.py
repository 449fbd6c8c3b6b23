"""Resuming reads a checkpoint into shapes: at no time do two states of a run lie on the device."""

import gc
from pathlib import Path
from typing import Any

import jax
import pytest

from tests.run.test_single import Recorder
from tests.run.tiny import copy_of, tiny_run
from trm_scaling.io.study import Study
from trm_scaling.parallel.hosts import SINGLE_PROCESS
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.tasks.build import ensure_dataset
from trm_scaling.train.run_context import RunContext, TrainJob, resumed
from trm_scaling.train.state import TrainState


def on_the_device() -> int:
    """Bytes of all arrays that are alive."""
    gc.collect()
    return sum(each.nbytes for each in jax.live_arrays())


def bytes_of(state: TrainState) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(state))


def context_of(study: Study) -> RunContext:
    """The tiny run of `study`, which is finished."""
    run = tiny_run(study)
    dataset = ensure_dataset(run.config.data, study.data_root)
    about: dict[str, Any] = {"data_fingerprint": dataset.fingerprint}
    job = TrainJob(run.config, run.folder, about, Recorder())
    return RunContext(job, dataset, make_mesh(run.config), SINGLE_PROCESS)


def test_a_resumed_run_makes_no_other_state_beside_the_one_it_reads(
    trained: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(copy_of(trained, tmp_path / "copy"))

    def made() -> TrainState:
        raise AssertionError("a state was initialised beside the one that is read")

    monkeypatch.setattr(context, "_init", made)
    with context:
        before = on_the_device()
        state = context.newest()
        assert int(state.step) == 60
        assert on_the_device() - before < 1.5 * bytes_of(state)


def test_runs_that_go_back_to_a_common_step_let_go_of_their_newest_states_first(
    trained: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, other = (context_of(copy_of(trained, tmp_path / name)) for name in ("one", "other"))
    with context, other:
        other.store.forget_after(other.store.steps()[-2])
        before, held = on_the_device(), []
        back_at = RunContext.back_at

        def watched(self: RunContext, step: int) -> TrainState:
            held.append(on_the_device() - before)
            return back_at(self, step)

        monkeypatch.setattr(RunContext, "back_at", watched)
        states = resumed([context, other])
        assert len({int(state.step) for state in states}) == 1
        assert held[0] < 0.5 * bytes_of(states[0])
