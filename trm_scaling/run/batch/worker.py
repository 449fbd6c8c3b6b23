"""One process that trains one run, in a session of its own: it outlives the runner and its terminal."""

import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Protocol

from trm_scaling.io.lease import Lease, launch
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.secrets import masked_arguments
from trm_scaling.results.attempts import read_attempts
from trm_scaling.run.batch.ending import End, end_of
from trm_scaling.run.batch.slots import Slot
from trm_scaling.run.failure import KernelKills

_ERRORS_READ = 1 << 16
_TITLE = "\n== "
"""Begins the line that separates attempts in a log."""


class Worker(Protocol):
    """A process at work on a run."""

    slot: int
    """Number of the place that it takes up."""

    def ended(self) -> End | None: ...
    def terminate(self) -> None:
        """Ask it to save and end."""
        ...

    def kill(self) -> None:
        """End it and all that it started, now."""
        ...


class StartedWorker:
    """A worker that this process has started."""

    def __init__(
        self,
        folder: RunFolder,
        slot: Slot,
        command: Sequence[str],
        kills: KernelKills,
        others: Sequence[RunFolder] = (),
    ) -> None:
        """`others`: of the further runs that `command` trains; their workers are the `companions`.

        Raises RunInUse when somebody else works in one of the folders, and UserError when the disk refuses.
        """
        self.slot = slot.number
        self.folder = folder
        self.companions = [Companion(self, each) for each in others]
        self._attempts_before = len(read_attempts(folder.attempts))
        self._kills = kills
        with ExitStack() as opened:
            grants = [opened.enter_context(launch(each.path, slot.number)) for each in (folder, *others)]
            title = _title(command)
            for each in (folder, *others):
                # Whatever lies here from now on is about this attempt.
                each.failure.unlink(missing_ok=True)
                for log in (each.stdout, each.stderr):
                    with log.open("ab") as file:
                        file.write(title)
            for each in others:
                with each.stdout.open("ab") as file:
                    file.write(
                        f"trained as one program with {folder.path}, and says all in its logs\n".encode()
                    )
            output, errors = (opened.enter_context(log.open("ab")) for log in (folder.stdout, folder.stderr))
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**os.environ, **slot.environment},
                start_new_session=True,
            )
            slot.pin(self._process.pid)
            for grant in grants:
                grant(self._process.pid)

    def ended(self) -> End | None:
        return self.end_in(self.folder, self._attempts_before)

    def end_in(self, folder: RunFolder, attempts_before: int) -> End | None:
        """How the run in `folder`, one of those that the process trains, ended; None while it goes on."""
        status = self._process.poll()
        if status is None:
            return None
        return end_of(status, folder, last_errors(self.folder), self._kills, attempts_before)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        _kill_session(self._process.pid, self._process.poll() is None)


class Companion:
    """The worker of a run whose process trains another one too, and answers for that."""

    def __init__(self, lead: StartedWorker, folder: RunFolder) -> None:
        """Before the process begins."""
        self.slot = lead.slot
        self._lead = lead
        self._folder = folder
        self._attempts_before = len(read_attempts(folder.attempts))

    def ended(self) -> End | None:
        return self._lead.end_in(self._folder, self._attempts_before)

    def terminate(self) -> None:
        """The lead is asked."""

    def kill(self) -> None:
        """The lead is killed."""


class AdoptedWorker:
    """A worker whose runner died, found at work by the next one on the same machine."""

    def __init__(self, folder: RunFolder, lease: Lease, kills: KernelKills) -> None:
        self.slot = lease.slot or 0
        self._folder = folder
        self._owner = lease.owner
        self._attempts_before = max(0, len(read_attempts(folder.attempts)) - 1)
        self._kills = kills

    @staticmethod
    def is_orphan(lease: Lease) -> bool:
        """Whether the lease's owner works on this machine for a runner that is gone."""
        return lease.owner.is_here and lease.launcher is not None and lease.launcher.lives is False

    def ended(self) -> End | None:
        if self._owner.lives:
            return None
        return end_of(None, self._folder, last_errors(self._folder), self._kills, self._attempts_before)

    def terminate(self) -> None:
        if self._owner.lives:
            os.kill(self._owner.pid, signal.SIGTERM)

    def kill(self) -> None:
        _kill_session(self._owner.pid, bool(self._owner.lives))


def last_errors(folder: RunFolder) -> str:
    """The end of what the newest attempt said on standard error, at most 64 KiB."""
    try:
        with folder.stderr.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _ERRORS_READ))
            text = "\n" + file.read().decode(errors="replace")
    except OSError:
        return ""
    _, title, rest = text.rpartition(_TITLE)
    return rest.partition("\n")[2] if title else text[1:]


def _kill_session(pid: int, lives: bool) -> None:
    """A worker leads its session, so its group is all that it started."""
    if lives:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _title(command: Sequence[str]) -> bytes:
    """What separates attempts in a log."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return f"{_TITLE[1:]}{now} {shlex.join(masked_arguments(command))}\n".encode()
