"""Intervals of device calls, and what they say of the host."""

import jax.numpy as jnp
import pytest

from trm_scaling.bench.timing import DeviceCall, Spread, Stopwatch, busy_seconds, host_gap, timed


def calls(*times: tuple[float, float]) -> list[DeviceCall]:
    return [DeviceCall(*each) for each in times]


def test_a_call_that_waits_behind_another_is_busy_from_its_end() -> None:
    assert busy_seconds(calls((0, 4), (1, 6), (2, 9))) == [4, 2, 3]
    assert host_gap(calls((0, 4), (1, 6), (2, 9))) == 0


def test_a_call_that_comes_late_leaves_a_gap() -> None:
    late = calls((0, 4), (5, 8), (6, 10))
    assert busy_seconds(late) == [4, 3, 2]
    assert host_gap(late) == pytest.approx(0.1)


def test_one_call_has_no_gap() -> None:
    assert host_gap(calls((3, 7))) == 0


def test_the_stopwatch_notes_every_call_in_order() -> None:
    with Stopwatch() as watch:
        for at in (1.0, 2.0, 3.0):
            watch.dispatched(at, jnp.zeros(3) + at)
    found = watch.calls()
    assert [call.dispatched for call in found] == [1, 2, 3]
    assert [call.finished for call in found] == sorted(call.finished for call in found)


def test_a_spread_is_of_all_repeats() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 9.0]) == Spread(1.0, 2.5, 9.0, 4)
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of([])
    done: list[int] = []
    assert timed(lambda: done.append(1), 3).repeats == len(done) == 3
