"""Who works in a run folder. At most one process does, on whichever machine that sees the folder.

    lock         held with flock(2) by the working process: settles who is first, and ends with it
    lease.json   who that is, for everybody to read; its time is renewed every two seconds
    stop         somebody asked the process to save and end

flock alone would do on one machine. On a disk that several share it may reach only one of them, so a
lease counts there for as long as it is renewed, by the file system's clock; and whoever would take one over
first watches whether it is renewed after all, since that clock may have jumped. A process that finds its
lease in another's hands (it was suspended, say) ends at once and writes nothing more.
"""

import errno
import fcntl
import json
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.io.jsonable import read_json_lenient
from trm_scaling.io.process import ProcessId

BEAT_SECONDS = 2.0
"""Between two renewals, and between two looks for a request to stop."""

EXPIRY_SECONDS = 60.0
"""A lease from another machine that was not renewed for so long belongs to a dead process."""

WATCH_SECONDS = 3 * BEAT_SECONDS
"""How long a lease that seems to have run out is watched before it is taken over. A clock that jumps makes
every lease on the disk old, or newer than now, and the next renewal of a living one sets that right."""

PATIENCE_SECONDS = 0.5
"""How long a lock is waited for: a runner keeps it for a moment while it starts the process that asks."""

LOCK, LEASE, STOP = "lock", "lease.json", "stop"


class RunInUse(UserError):
    """Another process works on the run."""

    exit_status = 69  # EX_UNAVAILABLE of sysexits.h


@dataclass(frozen=True)
class Lease:
    """What `lease.json` says."""

    owner: ProcessId
    since: str
    """UTC, ISO 8601."""
    token: str
    """Of this one lease: a process that comes back reads here whether it is still its own."""
    launcher: ProcessId | None = None
    """The batch runner that started the owner; None: a person did."""
    slot: int | None = None
    """Which of the runner's places (cores, accelerator) the owner was given."""


def read_lease(folder: Path) -> Lease | None:
    """The lease in `folder`, be it of a process that died; None when there is none to be read."""
    values = read_json_lenient(folder / LEASE)
    owner = ProcessId.read(values.get("owner"))
    if owner is None:
        return None
    slot = values.get("slot")
    return Lease(
        owner,
        str(values.get("since")),
        str(values.get("token")),
        ProcessId.read(values.get("launcher")),
        slot if isinstance(slot, int) else None,
    )


def holder(folder: Path) -> Lease | None:
    """The lease under which somebody works in `folder` now; None when nobody does.

    A process of this machine holds its lease while it exists, a stopped one too.
    """
    lease = read_lease(folder)
    if lease is None:
        return None
    lives = lease.owner.lives
    if lives is None:
        lives = not _has_expired(folder / LEASE)
    return lease if lives else None


def request_stop(folder: Path) -> None:
    """Ask the process that works in `folder`, wherever it runs, to save its state and end."""
    from trm_scaling.io.bucket_study import share_stop

    share_stop(folder)
    with os_errors_explained(folder / STOP, "write"):
        (folder / STOP).touch()


def _forget_stop(folder: Path) -> None:
    """A request was to the process before this one."""
    from trm_scaling.io.bucket_study import withdraw_stop

    (folder / STOP).unlink(missing_ok=True)
    withdraw_stop(folder)


def stop_requested(folder: Path) -> bool:
    """Whether somebody asked since the run was last started."""
    return (folder / STOP).exists()


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Work in `folder`, alone, for the block. The folder is made if need be.

    While the block runs, a request to stop reaches this process as SIGTERM. Raises RunInUse,
    naming the holder, when the folder is taken.
    """
    with _first(folder):
        granted = read_lease(folder)
        this = ProcessId.this()
        if granted is None or granted.owner != this:
            granted = None
            _forget_stop(folder)
        lease = new_lease(this, granted.launcher if granted else None, granted.slot if granted else None)
        _write(folder, lease)
        heart = _Heart(folder, lease)
        heart.start()
        try:
            yield
        finally:
            heart.stop()
            current = read_lease(folder)
            if current is not None and current.token == lease.token:
                (folder / LEASE).unlink(missing_ok=True)


@contextmanager
def launch(folder: Path, slot: int) -> Iterator[Callable[[int], None]]:
    """Start the process that shall work in `folder`: call what is yielded with its number.

    From then on the run is that process's, though it takes a second until it can say so itself.
    Raises RunInUse, naming the holder, when the folder is taken.
    """
    with _first(folder):

        def grant(pid: int) -> None:
            owner = ProcessId.of(pid)
            # A process that died this soon holds nothing.
            if owner is not None:
                _write(folder, new_lease(owner, ProcessId.this(), slot))

        _forget_stop(folder)
        yield grant


@contextmanager
def settle(folder: Path) -> Iterator[bool]:
    """Write down what became of a process that died in `folder`: true when nobody works there now."""
    with ExitStack() as stack:
        try:
            stack.enter_context(_first(folder))
        except RunInUse:
            yield False
        else:
            yield True


def new_lease(owner: ProcessId, launcher: ProcessId | None = None, slot: int | None = None) -> Lease:
    """A lease that begins now, with a token of its own."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Lease(owner, since, secrets.token_hex(8), launcher, slot)


def _write(folder: Path, lease: Lease) -> None:
    """Whole or not at all, but not durably: a lease need not survive the machine, and must be quick."""
    partial = folder / f".{LEASE}.{lease.token}.tmp"
    with os_errors_explained(folder / LEASE, "write"):
        partial.write_text(json.dumps(asdict(lease), indent=2) + "\n")
        os.replace(partial, folder / LEASE)


@contextmanager
def _first(folder: Path) -> Iterator[None]:
    """Be the one process of this machine that decides over `folder`, and find that nobody else holds it."""
    with os_errors_explained(folder / LOCK, "lock"):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if not _locked(descriptor):
            lease = read_lease(folder)
            raise in_use(folder, folder, lease.owner if lease else None)
        held = holder(folder) or _renewed_after_all(folder)
        if held is not None and held.owner != ProcessId.this():
            raise in_use(folder, folder, held.owner)
        yield
    finally:
        # Closing releases the lock. The file stays: removing it would let a third process
        # lock a new file of the same name while a second one holds this one.
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Take the lock; false when another process keeps it. Without locks the lease alone must do."""
    patience = time.monotonic() + PATIENCE_SECONDS
    while not take_lock(descriptor, wait=False):
        if time.monotonic() > patience:
            return False
        time.sleep(0.02)
    return True


def in_use(place: Path | str, folder: Path, owner: ProcessId | None) -> RunInUse:
    """The error for a run at `place`, which `owner` works on; `folder` is where it lies on this machine."""
    return RunInUse(
        f"{place} is in use by {owner or 'another process'}. Wait until it ends or stop it "
        f"(trm stop {folder}), or start this run with another seed or study."
    )


def _has_expired(path: Path) -> bool:
    """Whether a lease from another machine was last renewed too long ago, or at a time that has not come."""
    return not -EXPIRY_SECONDS <= _seconds_since_beat(path) <= EXPIRY_SECONDS


def _renewed_after_all(folder: Path) -> Lease | None:
    """The lease of another machine that has expired by the clock, if it is renewed while we watch."""
    lease = read_lease(folder)
    if lease is None or lease.owner.lives is not None:
        return None
    expired = _beat_of(folder / LEASE)
    watched = time.monotonic()
    while time.monotonic() - watched < WATCH_SECONDS:
        time.sleep(WATCH_SECONDS / 60)
        if _beat_of(folder / LEASE) != expired:
            return read_lease(folder)
    return None


def _beat_of(path: Path) -> float | None:
    """When the lease was last renewed, by the clock of its file system; None when it is gone."""
    try:
        # Opened, not looked up: a network file system then asks its server for the time.
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None


def _seconds_since_beat(path: Path) -> float:
    """By the clock of the file system that holds `path`: two machines' own clocks may be minutes apart."""
    beat = _beat_of(path)
    if beat is None:
        return float("inf")
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(b".")
            probe.flush()
            now = os.fstat(probe.fileno()).st_mtime
    except OSError:
        # Not ours to write: this machine's clock is the best there is.
        now = time.time()
    return now - beat


class _Heart(threading.Thread):
    """Renews a lease, and passes on a request to stop."""

    def __init__(self, folder: Path, lease: Lease) -> None:
        super().__init__(name="lease", daemon=True)
        self._folder = folder
        self._lease = lease
        self._stopped = threading.Event()
        self._passed_on = False

    def run(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            try:
                self._beat()
            except (OSError, UserError):
                # A disk that returns an error or is full for a moment: the next beat tries again, and
                # training itself meets an error that lasts.
                continue

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _beat(self) -> None:
        path = self._folder / LEASE
        if path.exists():
            current = read_lease(self._folder)
            if current is not None and current.token != self._lease.token:
                leave(f"{self._folder} was taken over by {current.owner}")
            os.utime(path)
        else:
            # Deleted by hand. Whoever takes a lease over replaces it, and so it is never absent.
            _write(self._folder, self._lease)
        if stop_requested(self._folder) and not self._passed_on:
            self._passed_on = True
            os.kill(os.getpid(), signal.SIGTERM)


def leave(why: str) -> NoReturn:
    """End this process without another write: an orderly end would save into a run that is not its own."""
    print(f"error: {why}; ending here", file=sys.stderr, flush=True)
    os._exit(RunInUse.exit_status)


_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS})
"""How a file system says that it has no such locks, as Lustre does when mounted without `-o flock`."""


def take_lock(descriptor: int, *, wait: bool) -> bool:
    """Lock the open file; the lock goes when the file is closed, by the death of its process too.

    False when another process has it, unless it is waited for. True also where the file system has no
    locks: work goes on then, and only what the caller writes in one step is safe from another process.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
