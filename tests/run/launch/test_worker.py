"""What a worker of a pod does when a host is lost, when a run fails, and when it is asked to stop."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trm_scaling.run.launch.supervisor import PARTING_SECONDS, run_all

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
