"""What else the machine did while a run trained."""

import os
from pathlib import Path

import pytest

from trm_scaling.io import machine
from trm_scaling.train import clock as clocks
from trm_scaling.train.clock import Clock


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Core-seconds of other processes, as the next looks at them find it."""
    looks: list[float] = []
    monkeypatch.setattr(clocks, "others_cpu_seconds", lambda: looks.pop(0))
    return looks


def test_the_load_is_of_training_alone_and_goes_on_after_a_resume(others: list[float]) -> None:
    clock, cores = Clock(), os.cpu_count() or 1
    others += [100.0, 100.0 + cores * 3]
    with clock.measure("train"):
        pass
    with clock.measure("evaluate"):
        pass
    assert set(clock.spent()) == {"train", "evaluate", "others"}
    resumed = Clock(clock.spent() | {"train": 10.0})
    assert resumed.other_load() == pytest.approx(0.3)
    assert resumed.total() == pytest.approx(10.0, abs=0.1)
    others += [0.0, cores * 2]
    with resumed.measure("train"):
        pass
    assert resumed.other_load() == pytest.approx(0.5, rel=1e-3)


def test_nothing_is_said_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "others_cpu_seconds", lambda: None)
    clock = Clock()
    with clock.measure("train"):
        pass
    assert clock.other_load() is None
    assert set(clock.spent()) == {"train"}


def test_own_work_is_not_that_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat, second = tmp_path / "stat", os.sysconf("SC_CLK_TCK")
    # user, nice, system, idle, iowait, irq, softirq, steal, guest
    ticks = [second * each for each in (10, 1, 5, 900, 50, 2, 1, 3, 7)]
    stat.write_text(f"cpu  {' '.join(map(str, ticks))} 0\ncpu0 1 2 3\n")
    own = os.times_result((4.0, 1.0, 0.5, 0.25, 0.0))
    monkeypatch.setattr(os, "times", lambda: own)
    assert machine.others_cpu_seconds(stat) == pytest.approx(22 - 5.75)
    assert machine.others_cpu_seconds(tmp_path / "none") is None
    stat.write_text("nothing")
    assert machine.others_cpu_seconds(stat) is None
