"""What became of a worker: from its exit status, its folder, and what the kernel counts."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.io.lease import RunInUse, settle, stop_requested
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.secrets import masked_text
from trm_scaling.results.attempts import RESUMABLE, Ending, end_attempt, read_attempts
from trm_scaling.results.scan import read_failure
from trm_scaling.run.failure import KernelKills, class_of_status, says_out_of_memory

_ASKED_TO_END = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL)


@dataclass(frozen=True)
class End:
    """How one attempt of a worker ended."""

    ending: Ending | Literal["in_use"]
    message: str


def end_of(
    status: int | None, folder: RunFolder, errors: str, kills: KernelKills, attempts_before: int
) -> End:
    """How the worker in `folder` ended, and write it down where it could not do so itself.

    Args:
        status: the worker's exit status, negative for a signal; None when another process was its
            parent, which alone can know.
        folder: its run folder.
        errors: the end of what it said on standard error.
        kills: what the kernel has killed for want of memory since the batch began.
        attempts_before: attempts at the run before this one.
    """
    if folder.finished:
        return End("finished", "")
    if status == RunInUse.exit_status:
        return End("in_use", _last(errors))
    end = _read(status, folder, errors, kills)
    _write_down(folder, end, attempts_before)
    return end


def _read(status: int | None, folder: RunFolder, errors: str, kills: KernelKills) -> End:
    asked = stop_requested(folder.path)
    said = read_failure(folder)
    if said is not None:
        stopped = asked and said.failure == "preempted"
        return End("stopped" if stopped else said.failure, said.message)
    if status in (None, -signal.SIGKILL) and kills.claim():
        return End("out_of_memory", "killed by the kernel, which ran out of memory")
    if status is None:
        return End("stopped" if asked else "preempted", "it ended without a word")
    if status < 0:
        return _of_signal(-status, asked, errors)
    if status == 0:
        return End(
            "other",
            "it ended well but wrote no result here: was its configuration changed while the batch went on? "
            "The same command plans it anew",
        )
    return End(class_of_status(status), _last(errors) or f"exit status {status}")


def _of_signal(number: int, asked: bool, errors: str) -> End:
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number in _ASKED_TO_END:
        return End("stopped" if asked else "preempted", f"ended by {name}")
    if says_out_of_memory(errors):
        return End("out_of_memory", _last(errors))
    return End("other", f"ended by {name}: {_last(errors)}".removesuffix(": "))


def give_up(folder: RunFolder, message: str) -> None:
    """Write that the run in `folder` failed although no attempt at it says so."""
    with _unheld(folder) as is_free:
        if is_free:
            _write_failure(folder, "other", message)


def _write_down(folder: RunFolder, end: End, attempts_before: int) -> None:
    """For the record's sake: the ending of an attempt left open, and a failure nobody wrote."""
    if end.ending == "in_use":
        return
    with _unheld(folder) as is_free:
        if not is_free:
            return
        attempts = read_attempts(folder.attempts)
        if len(attempts) > attempts_before and attempts[-1].ending is None:
            end_attempt(folder.attempts, attempts[-1].number, end.ending, end.message)
        if end.ending not in ("finished", "stopped", *RESUMABLE) and not folder.failure.exists():
            _write_failure(folder, end.ending, end.message)


@contextmanager
def _unheld(folder: RunFolder) -> Iterator[bool]:
    """Whether nobody works in `folder`, for a block that writes there."""
    try:
        with settle(folder.path) as is_free:
            yield is_free
    except (UserError, OSError):
        # The disk refuses failure.json too. The batch knows how the run ended, and goes on.
        return


def _write_failure(folder: RunFolder, failure: Ending, message: str) -> None:
    note = {"failure": failure, "error": None, "message": masked_text(message), "traceback": None}
    write_json(folder.failure, note)


def _last(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return masked_text(re.sub(r"^error: ", "", lines[-1])) if lines else ""
