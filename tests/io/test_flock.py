"""Locks of files, also where the file system has none (Lustre without `-o flock`)."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from tests.run.tiny import make_study, tiny_run
from trm_scaling.io.lease import hold, take_lock
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.tasks.folder import locked
from trm_scaling.tracking.wandb_mirror import _alone


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
