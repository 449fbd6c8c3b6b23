"""What a worker of a pod does when a host is lost, when a run fails, and when it is asked to stop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from trm_scaling.run.launch.worker import run_all

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
    assert (len(waits), len(notes)) == (2, 2)


def killed(log: Path) -> list[str]:
    """Writes a line each time; the first time the kernel kills it, say."""
    program = (
        f"import os, sys; log = open({str(log)!r}, 'a+'); log.seek(0); done = len(log.readlines()); "
        "print('again', file=log, flush=True); done or os.kill(os.getpid(), 9)"
    )
    return [sys.executable, "-c", program]


def test_a_process_that_was_killed_is_lost_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert run_all([killed(log)], 1, lambda _: None, lambda _: None) == 0
    assert times(log) == 2
    log.unlink()
    assert run_all([killed(log)], 0, lambda _: None, lambda _: None) == 68


def test_restarts_are_bounded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert run_all([command(log, 68, 68, 68)], 1, lambda _: None, lambda _: None) == 68
    assert times(log) == 2


def test_another_failure_ends_it_and_the_next_is_not_begun(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run_all([command(first, 75), command(second, 0)], 3, lambda _: None, lambda _: None) == 75
    assert (times(first), times(second)) == (1, 0)


def test_ctrl_c_is_the_runs_to_answer(tmp_path: Path) -> None:
    """As tmux sends it: to the worker and to the run alike."""
    ready, saved = tmp_path / "ready", tmp_path / "saved"
    run = (
        "import pathlib, signal, sys, time\n"
        f"def save(*_): time.sleep(0.5); pathlib.Path({str(saved)!r}).touch(); sys.exit(75)\n"
        f"signal.signal(signal.SIGINT, save); pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)"
    )
    worker = (
        "import sys; from trm_scaling.run.launch.worker import run_all; "
        f"sys.exit(run_all([[sys.executable, '-c', {run!r}]], 3, print))"
    )
    with subprocess.Popen([sys.executable, "-c", worker], start_new_session=True, cwd=ROOT) as process:
        while not ready.exists():
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == 75
    assert saved.exists()
