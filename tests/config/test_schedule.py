"""Epochs become steps, and device calls end where an evaluation is due, resumed or not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.compose import compose
from trm_scaling.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / "kellen" / "configs"

schedules = st.builds(Schedule, total_steps=st.integers(1, 300), eval_every=st.integers(1, 400))
calls = st.integers(1, 50)


def stops(schedule: Schedule, steps_per_call: int, start: int = 0) -> list[int]:
    """Where the device calls of a run that begins after `start` steps end."""
    found = [start]
    while found[-1] < schedule.total_steps:
        found.append(schedule.next_stop(found[-1], steps_per_call))
        assert found[-2] < found[-1] <= found[-2] + steps_per_call
    return found[1:]


def test_the_baselines_steps() -> None:
    schedule = Schedule.of(compose(CONFIGS, "baseline", "paper"), 1000)
    assert schedule == Schedule(total_steps=8138, eval_every=813)


def test_steps_are_epochs_of_puzzles_over_the_batch_rounded_down() -> None:
    config = RunConfig(epochs=10, eval_interval=3, global_batch_size=64)
    assert Schedule.of(config, 200) == Schedule(total_steps=31, eval_every=9)


@given(schedules, calls)
def test_calls_end_at_every_evaluation_and_at_the_end(schedule: Schedule, steps_per_call: int) -> None:
    found = stops(schedule, steps_per_call)
    evaluated = {step for step in range(schedule.total_steps + 1) if schedule.is_evaluated(step)}
    assert evaluated <= set(found)
    assert found[-1] == schedule.total_steps
    assert max(evaluated) == schedule.total_steps


@given(schedules, calls, st.data())
def test_a_resumed_run_makes_the_same_calls(
    schedule: Schedule, steps_per_call: int, data: st.DataObject
) -> None:
    found = stops(schedule, steps_per_call)
    place = data.draw(st.integers(0, len(found) - 1))
    assert stops(schedule, steps_per_call, found[place]) == found[place + 1 :]
    # A run stopped anywhere else is back on the same grid after its first call.
    start = data.draw(st.integers(0, schedule.total_steps))
    assert stops(schedule, steps_per_call, start) == [step for step in found if step > start]


@given(schedules)
def test_evaluations_are_multiples_of_the_interval_and_the_end(schedule: Schedule) -> None:
    evaluated = [step for step in range(schedule.total_steps + 1) if schedule.is_evaluated(step)]
    expected = {*range(schedule.eval_every, schedule.total_steps, schedule.eval_every), schedule.total_steps}
    assert evaluated == sorted(expected)


def test_too_few_epochs_for_one_batch() -> None:
    config = RunConfig(epochs=6, eval_interval=6, global_batch_size=6144)
    with pytest.raises(UserError, match=r"epochs=6 x 1000 .*global_batch_size=6144"):
        Schedule.of(config, 1000)


def test_an_interval_shorter_than_a_batch_evaluates_every_step() -> None:
    config = RunConfig(epochs=10, eval_interval=1, global_batch_size=6144)
    assert Schedule.of(config, 1000) == Schedule(total_steps=1, eval_every=1)
