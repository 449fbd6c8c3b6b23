"""A run compiles at its beginning, at its first evaluation, and where its recursion changes; never else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from jax._src.dispatch import BACKEND_COMPILE_EVENT

from tests.train.tiny import config_of
from trm_scaling.config import RunConfig, Schedule
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.tasks.build import ensure_dataset
from trm_scaling.train.interrupt import stop_on_signals
from trm_scaling.train.loop import train


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """Names of the functions that are compiled, or read from the cache, while the test runs."""
    names: list[str] = []

    def note(event: str, duration_secs: float, **about: str | int) -> None:
        if event == BACKEND_COMPILE_EVENT:
            names.append(str(about.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(note)
    yield names
    jax.monitoring.unregister_event_duration_listener(note)


class Watching:
    """A reporter that notes what had been compiled when."""

    def __init__(self, compilations: list[str]) -> None:
        self._compilations = compilations
        self.seen: list[tuple[str, int, int]] = []

    def _note(self, what: str, step: int) -> None:
        self.seen.append((what, step, len(self._compilations)))

    def started(self, step: int, total: int) -> None:
        self._note("started", step)

    def progressed(self, step: int, metrics: dict[str, float], examples_per_s: float | None) -> None:
        self._note("progressed", step)

    def evaluated(self, step: int, summary: dict[str, Any]) -> None:
        self._note("evaluated", step)

    def note(self, text: str) -> None: ...


def config() -> RunConfig:
    """40 steps in two stages, the second from step 20; evaluated every 7, three steps a call."""
    tiny = config_of(arch={"L_cycles": 2}, system={"steps_per_call": 3, "eval_batch_size": 4})
    changes = {
        "data": {
            **tiny.data.model_dump(),
            **{"train_size": 16, "val_size": 8, "test_size": 8, "givens": 8},
        },
        "curriculum": {"until_epoch": 10, "L_cycles": 1, "H_cycles": 2, "stages": 1},
        "schedule": "as_written",
        "epochs": 20,
        "eval_interval": 3,
        "eval_puzzles": 6,
    }
    return RunConfig.model_validate({**tiny.model_dump(), **changes})


def test_nothing_compiles_after_the_first_step_of_a_stage(tmp_path: Path, compilations: list[str]) -> None:
    run = config()
    dataset = ensure_dataset(run.data, tmp_path)
    schedule = Schedule.of(run, dataset.num_puzzles)
    assert (schedule.total_steps, len(schedule.stages)) == (40, 2)
    change = schedule.stages[1].start
    assert change == 20
    watching = Watching(compilations)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    with stop_on_signals() as stop:
        train(run, dataset, folder, {}, watching, stop)
    first_evaluation = next(i for i, seen in enumerate(watching.seen) if seen[0] == "evaluated")
    after = watching.seen[first_evaluation:]
    late = compilations[after[0][2] :]
    # The second stage brings its own training call, and nothing else.
    assert len(late) == 1, late
    assert "_train_call" in late[0]
    of_second_stage = {count for _, step, count in after if step > change}
    assert of_second_stage == {len(compilations)}
