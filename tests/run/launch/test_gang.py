"""Several processes started as one: they end together, and start again after a loss alone."""

import signal
import sys
from pathlib import Path

import pytest

from trm_scaling.config.system import SystemConfig
from trm_scaling.parallel.hosts import LINGER_SECONDS, PARTING_MS, VERDICT_SECONDS, parting_seconds
from trm_scaling.run.launch import supervisor
from trm_scaling.run.launch.supervisor import run_gang, verdict, virtual_devices

PROGRAM = """
import os, signal, sys, time
acts, folder = sys.argv[1].split(","), sys.argv[2]
index, count = int(sys.argv[-1]), int(sys.argv[-3])
assert sys.argv[3] == "--coordinator" and count == len(acts)
tries = os.path.join(folder, f"tries-{index}")
with open(tries, "a") as file: file.write("x")
act = acts[index].split("|")[min(len(open(tries).read()), len(acts[index].split("|"))) - 1]
if act == "hang": time.sleep(600)
elif act == "die": os.kill(os.getpid(), signal.SIGKILL)
elif act == "stop": os.kill(os.getpid(), signal.SIGSTOP)
elif act == "write":
    time.sleep(1)
    open(os.path.join(folder, "record"), "w").write("lost_host")
    sys.exit(68)
else: sys.exit(int(act))
"""


@pytest.fixture
def notes() -> list[str]:
    return []


def gang(folder: Path, acts: str, notes: list[str], restarts: int, grace: float = 0.3) -> int:
    """One process for each of `acts`; `first|later` acts differently when started again."""
    command = [sys.executable, "-c", PROGRAM, acts, str(folder)]
    count = acts.count(",") + 1
    return run_gang(command, count, {}, lambda index: folder / f"{index}.log", notes.append, grace, restarts)


def tries(folder: Path) -> int:
    return len((folder / "tries-0").read_text())


@pytest.mark.parametrize(
    ("acts", "restarts", "status", "started"),
    [
        ("0,0", 3, 0, 1),
        ("hang|0,die|0", 3, 0, 2),
        ("68|0,68|0,hang|0", 3, 0, 2),
        ("hang,die", 2, 68, 3),
        ("68,71,hang", 3, 71, 1),
        ("134|0,68|0", 3, 0, 2),
        ("137|0,hang|0", 3, 0, 2),
        ("2,2", 3, 2, 1),
        ("75,75", 3, 75, 1),
    ],
)
def test_a_gang_ends_together(
    tmp_path: Path,
    notes: list[str],
    acts: str,
    restarts: int,
    status: int,
    started: int,
) -> None:
    assert gang(tmp_path, acts, notes, restarts) == status
    assert tries(tmp_path) == started
    assert len(notes) == (started if status == 68 else started - 1)


def test_which_process_was_lost_is_said(tmp_path: Path, notes: list[str]) -> None:
    assert gang(tmp_path, "0,die|0", notes, 1) == 0
    assert "process 1 was lost: Killed (signal 9)" in notes[0]


def test_the_writer_of_the_record_is_waited_for(tmp_path: Path, notes: list[str]) -> None:
    assert gang(tmp_path, "write,die", notes, 0, grace=60) == 68
    assert (tmp_path / "record").read_text() == "lost_host"


def test_the_others_have_the_time_that_they_need_to_notice() -> None:
    system = SystemConfig(lost_host_seconds=90)
    assert parting_seconds(system) > 90 + VERDICT_SECONDS + LINGER_SECONDS + PARTING_MS / 1000


def test_one_that_stands_still_is_not_waited_for(tmp_path: Path, notes: list[str]) -> None:
    assert gang(tmp_path, "68,stop", notes, 0, grace=600) == 68


def test_a_signal_ends_the_gang_and_nothing_is_started_again(
    tmp_path: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float, sleep: object = supervisor.time.sleep) -> None:
        files = [tmp_path / f"tries-{index}" for index in range(2)]
        if all(file.exists() and file.stat().st_size for file in files):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(supervisor.time, "sleep", interrupt)
    assert gang(tmp_path, "hang,hang", notes, 3, grace=5) == 68
    assert tries(tmp_path) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_reason_is_that_of_the_process_that_had_one() -> None:
    assert verdict([0, 0]) == 0
    assert verdict([68, -9, 68]) == 68
    assert verdict([68, 70, 71]) == 70
    assert verdict([75, -6]) == 75
    assert verdict([137, 134, -6]) == 68
    assert verdict([75, 65]) == 65


def test_virtual_devices_come_after_the_flags_that_are_there() -> None:
    found = virtual_devices(4, {"XLA_FLAGS": "--xla_dump_to=here"})
    assert found["XLA_FLAGS"] == "--xla_dump_to=here --xla_force_host_platform_device_count=4"
    assert virtual_devices(1, {})["XLA_FLAGS"] == "--xla_force_host_platform_device_count=1"
