"""Epochs become steps, and device calls end where an evaluation is due, resumed or not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm_scaling.config import CurriculumConfig, Depth, RunConfig, Schedule, Stage
from trm_scaling.config.compose import compose
from trm_scaling.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / "kellen" / "configs"

FULL = Depth(6, 3)
"""The baseline's recursion."""

schedules = st.builds(
    lambda total, every, starts: Schedule(
        total, every, 0, tuple(Stage(start, FULL) for start in sorted({0, *(s % total for s in starts)}))
    ),
    st.integers(1, 300),
    st.integers(1, 400),
    st.lists(st.integers(0, 300), max_size=4),
)
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
    assert schedule == Schedule(8138, 813, 2000, (Stage(0, FULL),))


def test_steps_are_epochs_of_puzzles_over_the_batch_rounded_down() -> None:
    config = RunConfig(epochs=10, eval_interval=3, global_batch_size=64, schedule="as_written")
    assert Schedule.of(config, 200) == Schedule(31, 9, 2000, (Stage(0, FULL),))


@pytest.mark.parametrize(("puzzles", "batch", "steps"), [(100, 6144, 8138), (5000, 49152, 1017)])
def test_matched_runs_see_the_reference_s_puzzle_steps_and_warm_up(
    puzzles: int, batch: int, steps: int
) -> None:
    schedule = Schedule.of(RunConfig(global_batch_size=batch), puzzles)
    assert schedule.total_steps == steps
    assert schedule.warmup_steps * batch == 2000 * 6144
    written = Schedule.of(RunConfig(global_batch_size=batch, schedule="as_written"), puzzles)
    assert written.total_steps == 50_000 * puzzles // batch
    assert written.warmup_steps == 2000


def test_evaluations_lie_as_far_apart_as_asked_or_grow_by_a_factor() -> None:
    config = RunConfig(epochs=262, eval_interval=16, global_batch_size=64, reference_batch_size=64)
    even = Schedule.of(config, 1000)
    assert even.evaluated_steps == (*range(250, 4093, 250), 4093)
    growing = Schedule.of(config.model_copy(update={"eval_growth": 2**0.5}), 1000)
    assert growing.evaluated_steps == (250, 354, 500, 707, 1000, 1414, 2000, 2828, 4000, 4093)
    for schedule in (even, growing):
        step, stops = 0, []
        while step < schedule.total_steps:
            step = schedule.next_stop(step, 10**6)
            stops.append(step)
        assert tuple(stops) == schedule.evaluated_steps
        assert all(schedule.is_evaluated(each) for each in stops)
        assert not schedule.is_evaluated(251)


def test_a_curriculum_rises_in_equal_stages_and_never_ahead_of_the_line() -> None:
    config = RunConfig(curriculum=CurriculumConfig(until_epoch=10_000))
    schedule = Schedule.of(config, 1000)
    assert schedule.stages == tuple(
        Stage(start, Depth(*depth))
        for start, depth in [(0, (2, 1)), (406, (3, 1)), (813, (4, 2)), (1220, (5, 2)), (1627, (6, 3))]
    )
    assert [steps for _, steps in schedule.steps_of_stages()] == [406, 407, 407, 407, 6511]
    for step, depth in ((0, (2, 1)), (405, (2, 1)), (406, (3, 1)), (1627, (6, 3)), (8137, (6, 3))):
        assert schedule.stage_after(step).depth == depth


def test_stages_of_one_depth_and_stages_without_a_step_are_none() -> None:
    flat = CurriculumConfig(until_epoch=10_000, stages=3, L_cycles=6, H_cycles=2)
    stages = Schedule.of(RunConfig(curriculum=flat), 1000).stages
    assert stages == (Stage(0, Depth(6, 2)), Stage(1627, FULL))
    short = RunConfig(curriculum=CurriculumConfig(until_epoch=1, stages=9), epochs=50, eval_interval=50)
    assert Schedule.of(short, 1000).stages == (Stage(0, FULL),)


@given(schedules, calls)
def test_calls_end_where_a_stage_begins(schedule: Schedule, steps_per_call: int) -> None:
    assert {stage.start for stage in schedule.stages} - {0} <= set(stops(schedule, steps_per_call))


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
    assert Schedule.of(config, 1000) == Schedule(1, 1, 2000, (Stage(0, FULL),))
