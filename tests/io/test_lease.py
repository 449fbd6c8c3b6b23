"""Who holds a run folder: processes of this machine by their life, others by their heartbeat."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.run.tiny import make_study, tiny_run
from trm_scaling.io import lease
from trm_scaling.io.lease import (
    RunInUse,
    hold,
    holder,
    launch,
    read_lease,
    request_stop,
    settle,
    stop_requested,
    take_lock,
)
from trm_scaling.io.process import ProcessId
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.tasks.folder import locked
from trm_scaling.tracking.wandb_mirror import _alone

HOLDER = """
import sys, time
from pathlib import Path
from trm_scaling.io import lease
lease.BEAT_SECONDS = 0.05
with lease.hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds `tmp_path`, with a quick heartbeat."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def from_another_machine(folder: Path, age: float) -> None:
    """Leave the lease of a process elsewhere, renewed `age` seconds ago."""
    this = ProcessId.this()
    owner = replace(this, host="elsewhere", machine="another boot")
    path = folder / lease.LEASE
    path.write_text(json.dumps({"owner": asdict(owner), "since": "2026-01-01", "token": "theirs"}))
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


def test_a_lease_is_the_process_s_for_as_long_as_it_works(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with hold(tmp_path):
        held = holder(tmp_path)
        assert held is not None
        assert held.owner == ProcessId.this()
        assert held.launcher is None
    assert holder(tmp_path) is None
    assert not (tmp_path / lease.LEASE).exists()


def test_a_stopped_process_holds_and_a_dead_one_does_not(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    os.kill(other.pid, signal.SIGSTOP)
    old = time.time() - 3600
    os.utime(tmp_path / lease.LEASE, (old, old))
    held = holder(tmp_path)
    assert held is not None
    assert held.owner.pid == other.pid
    with pytest.raises(RunInUse, match=rf"in use by process {other.pid} on .*trm stop"), hold(tmp_path):
        pass
    # Not waited for, it is a zombie now: it has a number, and does nothing more.
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert holder(tmp_path) is None
    with hold(tmp_path):
        pass


def test_a_process_that_got_a_dead_one_s_number_is_another(tmp_path: Path) -> None:
    with hold(tmp_path):
        values = json.loads((tmp_path / lease.LEASE).read_text())
    values["owner"]["started"] = "before"
    (tmp_path / lease.LEASE).write_text(json.dumps(values))
    assert holder(tmp_path) is None


def test_another_machine_holds_while_it_renews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.1)
    from_another_machine(tmp_path, age=lease.EXPIRY_SECONDS - 20)
    assert holder(tmp_path) is not None
    with pytest.raises(RunInUse, match=rf"in use by process {os.getpid()} on elsewhere"), hold(tmp_path):
        pass
    from_another_machine(tmp_path, age=lease.EXPIRY_SECONDS + 5)
    assert holder(tmp_path) is None
    with hold(tmp_path):
        taken = read_lease(tmp_path)
        assert taken is not None
        assert taken.owner == ProcessId.this()


@pytest.mark.parametrize("age", [lease.EXPIRY_SECONDS + 1e6, -1e6])
def test_a_clock_that_jumps_takes_a_run_from_nobody_who_renews(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float
) -> None:
    monkeypatch.setattr(lease, "WATCH_SECONDS", 30.0)
    from_another_machine(tmp_path, age)
    renewal = threading.Timer(0.1, os.utime, [tmp_path / lease.LEASE])
    renewal.start()
    with pytest.raises(RunInUse, match="on elsewhere"), hold(tmp_path):
        pass
    renewal.join()
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.1)
    from_another_machine(tmp_path, age)
    assert holder(tmp_path) is None
    with hold(tmp_path):
        pass


def test_age_is_told_by_the_clock_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_another_machine(tmp_path, age=0)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert holder(tmp_path) is not None
    monkeypatch.setattr("time.time", lambda: 1e12)
    assert holder(tmp_path) is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == [lease.LEASE]


def test_the_lease_is_renewed(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    os.utime(tmp_path / lease.LEASE, (0, 0))
    await_(lambda: (tmp_path / lease.LEASE).stat().st_mtime > 0)
    (tmp_path / lease.LEASE).unlink()
    await_((tmp_path / lease.LEASE).exists)
    held = holder(tmp_path)
    assert held is not None
    assert held.owner.pid == other.pid


def test_who_finds_its_lease_in_other_hands_ends_and_writes_nothing(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    from_another_machine(tmp_path, age=0)
    _, said = other.communicate()
    assert other.returncode == 69
    assert said == f"error: {tmp_path} was taken over by process {os.getpid()} on elsewhere; ending here\n"
    left = read_lease(tmp_path)
    assert left is not None
    assert left.token == "theirs"


def test_a_request_to_stop_comes_as_sigterm_and_ends_with_the_next_start(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    request_stop(tmp_path)
    other.communicate()
    assert other.returncode == -signal.SIGTERM
    assert stop_requested(tmp_path)
    with hold(tmp_path):
        assert not stop_requested(tmp_path)


def test_a_started_process_has_the_run_before_it_can_say_so(tmp_path: Path) -> None:
    request_stop(tmp_path)
    with launch(tmp_path, slot=3) as grant:
        sleeper = subprocess.Popen(["sleep", "60"])
        grant(sleeper.pid)
    try:
        held = holder(tmp_path)
        assert held is not None
        assert (held.owner.pid, held.slot, held.launcher) == (sleeper.pid, 3, ProcessId.this())
        assert not stop_requested(tmp_path)
        with pytest.raises(RunInUse, match=f"process {sleeper.pid}"), hold(tmp_path):
            pass
        with settle(tmp_path) as is_nobodys:
            assert not is_nobodys
    finally:
        sleeper.kill()
        sleeper.wait()
    with settle(tmp_path) as is_nobodys:
        assert is_nobodys


def test_what_was_granted_is_kept_and_so_is_a_request_since_then(tmp_path: Path) -> None:
    with launch(tmp_path, slot=1) as grant:
        grant(os.getpid())
    request_stop(tmp_path)
    with hold(tmp_path):
        held = read_lease(tmp_path)
        assert held is not None
        assert (held.slot, held.launcher) == (1, ProcessId.this())
        assert stop_requested(tmp_path)


def test_a_lock_is_waited_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 30.0)
    held, let_go = threading.Event(), threading.Event()

    def keep() -> None:
        with settle(tmp_path):
            held.set()
            let_go.wait()

    keeper = threading.Thread(target=keep)
    keeper.start()
    held.wait()
    threading.Timer(0.1, let_go.set).start()
    with hold(tmp_path):
        assert let_go.is_set()
    keeper.join()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": 3}', '{"owner": {"pid": "x"}}', "\xff"])
def test_a_broken_lease_is_nobody_s(tmp_path: Path, text: str) -> None:
    (tmp_path / lease.LEASE).write_bytes(text.encode("latin1"))
    assert holder(tmp_path) is None
    with hold(tmp_path):
        assert holder(tmp_path) is not None


def await_(condition: object) -> None:
    """Return once `condition()` is true; the test's timeout is the limit."""
    assert callable(condition)
    while not condition():
        time.sleep(0.01)


@pytest.fixture(params=[errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that answers every request for a lock by an error."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("no_locks")
def test_a_file_system_without_locks_stops_nothing(tmp_path: Path) -> None:
    folder = tiny_run(make_study(tmp_path)).path.claim()
    assert folder.path.is_dir()
    with hold(folder.path), locked(tmp_path / "data" / "sudoku"):
        (folder.path / "wandb").mkdir()
        with _alone(folder, wait=False), _alone(RunFolder(folder.path), wait=True):
            pass


def test_one_process_has_a_lock_until_it_closes_the_file(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as first, (tmp_path / "lock").open("w") as second:
        assert take_lock(first.fileno(), wait=True)
        assert not take_lock(second.fileno(), wait=False)
        first.close()
        assert take_lock(second.fileno(), wait=False)


def test_what_is_no_want_of_locks_goes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (tmp_path / "lock").open("w") as file, pytest.raises(OSError, match="Input/output error"):
        take_lock(file.fileno(), wait=False)
