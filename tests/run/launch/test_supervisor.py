"""Processes that are started again after a loss alone: a process group of them, and the worker of a pod."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trm_scaling.config.system import SystemConfig
from trm_scaling.parallel.hosts import LINGER_SECONDS, PARTING_MS, VERDICT_SECONDS, parting_seconds
from trm_scaling.run.launch import supervisor
from trm_scaling.run.launch.supervisor import PARTING_SECONDS, run_all, run_gang, verdict, virtual_devices

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


def process_group(folder: Path, acts: str, notes: list[str], restarts: int, grace: float = 0.3) -> int:
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
    assert process_group(tmp_path, acts, notes, restarts) == status
    assert tries(tmp_path) == started
    assert len(notes) == (started if status == 68 else started - 1)


def test_which_process_was_lost_is_said(tmp_path: Path, notes: list[str]) -> None:
    assert process_group(tmp_path, "0,die|0", notes, 1) == 0
    assert "process 1 was lost: Killed (signal 9)" in notes[0]


def test_the_writer_of_the_record_is_waited_for(tmp_path: Path, notes: list[str]) -> None:
    assert process_group(tmp_path, "write,die", notes, 0, grace=60) == 68
    assert (tmp_path / "record").read_text() == "lost_host"


def test_the_others_have_the_time_that_they_need_to_notice() -> None:
    system = SystemConfig(lost_host_seconds=90)
    assert parting_seconds(system) > 90 + VERDICT_SECONDS + LINGER_SECONDS + PARTING_MS / 1000


def test_one_that_stands_still_is_not_waited_for(tmp_path: Path, notes: list[str]) -> None:
    assert process_group(tmp_path, "68,stop", notes, 0, grace=600) == 68


def test_a_signal_ends_the_gang_and_nothing_is_started_again(
    tmp_path: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float, sleep: object = supervisor.time.sleep) -> None:
        files = [tmp_path / f"tries-{index}" for index in range(2)]
        if all(file.exists() and file.stat().st_size for file in files):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(supervisor.time, "sleep", interrupt)
    assert process_group(tmp_path, "hang,hang", notes, 3, grace=5) == 68
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


ROOT = Path(__file__).resolve().parents[3]


def command(log: Path, *statuses: int) -> list[str]:
    """Writes a line each time, and ends with the next of `statuses`."""
    program = (
        f"import sys; log = open({str(log)!r}, 'a+'); log.seek(0); done = len(log.readlines()); "
        f"print('again', file=log); sys.exit({list(statuses)}[done])"
    )
    return [sys.executable, "-c", program]


def times(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_lost_host_is_followed_by_a_restart(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    waits: list[float] = []
    notes: list[str] = []
    status = run_all([command(first, 68, 68, 0), command(second, 0)], 3, notes.append, waits.append)
    assert (status, times(first), times(second)) == (0, 3, 1)
    # The others' run goes on for a while, and one that comes too early meets it instead of theirs.
    assert waits == [PARTING_SECONDS] * 2
    assert "exit status 68" in notes[0]
    assert "3 restarts left" in notes[0]


def ended_by(log: Path, number: int) -> list[str]:
    """Writes a line each time; the first time that signal ends it."""
    program = (
        f"import os, sys; log = open({str(log)!r}, 'a+'); log.seek(0); done = len(log.readlines()); "
        f"print('again', file=log, flush=True); done or os.kill(os.getpid(), {number})"
    )
    return [sys.executable, "-c", program]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
@pytest.mark.parametrize("through_a_shell", [False, True])
def test_a_process_that_was_killed_is_lost_too(tmp_path: Path, number: int, through_a_shell: bool) -> None:
    """-9 and -6, which a shell says as 137 and 134: of the process killed, and of those that JAX aborts."""
    log = tmp_path / "log"
    run = ended_by(log, number)
    notes: list[str] = []
    commands = [["sh", "-c", f"{shlex.join(run)}; exit $?"] if through_a_shell else run]
    assert run_all(commands, 1, notes.append, lambda _: None) == 0
    assert times(log) == 2
    assert f"(signal {number:d})" in notes[0]
    log.unlink()
    assert run_all(commands, 0, notes.append, lambda _: None) == 68
    assert notes[-1].endswith("0 restarts made")


def test_one_that_stands_still_is_killed_and_started_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = ended_by(log, signal.SIGSTOP)
    assert run_all([run], 1, lambda _: None, lambda _: None, parting=0.3) == 0
    assert times(log) == 2


def test_restarts_are_bounded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert run_all([command(log, 68, 68, 68)], 1, lambda _: None, lambda _: None) == 68
    assert times(log) == 2


def test_another_failure_ends_it_and_the_next_is_not_begun(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run_all([command(first, 75), command(second, 0)], 3, lambda _: None, lambda _: None) == 75
    assert (times(first), times(second)) == (1, 0)


def worker_of(*runs: str) -> list[str]:
    """A worker of Python programs."""
    commands = [[sys.executable, "-c", run] for run in runs]
    program = (
        "import sys; from trm_scaling.run.launch.supervisor import run_all; "
        f"sys.exit(run_all({commands!r}, 3, lambda text: print(text, file=sys.stderr), lambda _: None))"
    )
    return [sys.executable, "-c", program]


def test_what_is_asked_to_stop_is_not_lost_and_nothing_follows(tmp_path: Path) -> None:
    """A run that dies of the request has not lost a host, and the next one is not begun."""
    ready, second = tmp_path / "ready", tmp_path / "second"
    dies = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    obeys = f"import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n{dies}"
    for first, status in ((dies, 128 + signal.SIGTERM), (obeys, 75)):
        begun = worker_of(first, f"open({str(second)!r}, 'w')")
        with subprocess.Popen(begun, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            while not ready.exists():
                time.sleep(0.02)
            process.terminate()
            said = process.communicate()[1]
        assert (process.returncode, said) == (status, "")
        assert not second.exists()
        ready.unlink()


def test_ctrl_c_is_the_runs_to_answer(tmp_path: Path) -> None:
    """As tmux sends it: to the worker and to the run alike."""
    ready, saved = tmp_path / "ready", tmp_path / "saved"
    run = (
        "import pathlib, signal, sys, time\n"
        f"def save(*_): time.sleep(0.5); pathlib.Path({str(saved)!r}).touch(); sys.exit(75)\n"
        f"signal.signal(signal.SIGINT, save); pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)"
    )
    with subprocess.Popen(worker_of(run), start_new_session=True, cwd=ROOT) as process:
        while not ready.exists():
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == 75
    assert saved.exists()
