"""How a run stands, from its folder alone: nothing is composed, and a broken file breaks nothing."""

from dataclasses import dataclass
from typing import Any, Literal

from trm_scaling.io.lease import Lease, holder, stop_requested
from trm_scaling.io.notes import read_note
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.attempts import FAILURE_CLASSES, RESUMABLE, FailureClass

State = Literal["new", "running", "interrupted", "stopped", "failed", "finished", "imported"]
"""`interrupted`: it died or was preempted, and the same command resumes it. `stopped`: by request.
`imported`: weights that were trained elsewhere, without a record."""


@dataclass(frozen=True)
class Failure:
    """What `failure.json` says of the last attempt."""

    failure: FailureClass
    message: str


@dataclass(frozen=True)
class Standing:
    """A run's state, with who works on it and what went wrong."""

    state: State
    lease: Lease | None = None
    """Of a running one."""
    failure: Failure | None = None
    """Of one that is neither running nor finished: what ended its last attempt, if that is known."""


def standing(folder: RunFolder) -> Standing:
    """How the run in `folder` stands now; `new` where there is no folder."""
    # The result first: its writer may hold the folder for a moment longer.
    if folder.finished:
        return Standing("finished")
    lease = holder(folder.path)
    if lease is not None:
        return Standing("running", lease)
    # It may have finished between the two looks.
    if folder.result.is_file():
        return Standing("finished")
    if folder.imported.is_file():
        return Standing("imported")
    failure = read_failure(folder)
    if failure is not None and failure.failure not in RESUMABLE:
        return Standing("failed", failure=failure)
    if stop_requested(folder.path):
        return Standing("stopped", failure=failure)
    begun = folder.attempts.exists() or folder.config.exists()
    return Standing("interrupted" if begun else "new", failure=failure)


def read_failure(folder: RunFolder) -> Failure | None:
    """Why the last attempt ended early, where it could still say so."""
    note: dict[str, Any] = read_note(folder.failure)
    if not note:
        return None
    named = note.get("failure")
    return Failure(named if named in FAILURE_CLASSES else "other", str(note.get("message", "")))
