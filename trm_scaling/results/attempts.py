"""`attempts.jsonl`: every attempt at a run, when it began, where, and how it ended.

Two events an attempt, written by the process itself, and one for each damaged thing that it met. One that
is killed leaves its attempt open; the batch runner that started it, or else the next attempt, says what is
known of its end.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from trm_scaling.io.jsonl import JsonlWriter

FailureClass = Literal[
    "configuration", "out_of_memory", "disk", "preempted", "lost_host", "non_finite", "other"
]
"""What ended an attempt early: something the user must mend; memory; a disk that takes nothing more; a
signal, from the system or from somebody; one of several processes that was lost or hung; a loss that is not
a number; anything else."""

Ending = Literal["finished", "stopped", FailureClass]
"""`stopped`: by request, and nothing went wrong."""

ENDINGS: tuple[str, ...] = ("finished", "stopped", *get_args(FailureClass))
FAILURE_CLASSES: tuple[str, ...] = get_args(FailureClass)

RESUMABLE: tuple[FailureClass, ...] = ("disk", "preempted", "lost_host")
"""Not the fault of the run: the same command resumes it."""

LONGEST_MESSAGE = 2000
"""Characters kept of a message: a compiler's account of its memory goes on for pages."""


@dataclass(frozen=True)
class Incident:
    """Something damaged that an attempt met and went on without."""

    message: str
    """What was found, where, and what was done."""
    time: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class Attempt:
    """One attempt. Times are UTC, ISO 8601."""

    number: int
    """From 1."""
    began: str
    host: str
    micro_batch_size: int
    """Puzzles worked through at once."""
    ended: str | None = None
    ending: Ending | None = None
    """None while it goes on, or when it died and wrote nothing."""
    message: str | None = None
    incidents: tuple[Incident, ...] = ()
    known: Mapping[str, Any] | None = None
    """Names, family and overrides of the run as the study had them when it began."""

    @property
    def failure(self) -> FailureClass | None:
        """What went wrong; None when nothing did, or nothing is known."""
        match self.ending:
            case None | "finished" | "stopped":
                return None
            case failure:
                return failure


def read_attempts(path: Path) -> list[Attempt]:
    """The attempts, in order; none when there is no file. A line that is broken is passed over."""
    attempts: dict[int, Attempt] = {}
    for record in _records(path):
        try:
            number, time = int(record["attempt"]), str(record["time"])
            if record["event"] == "began":
                size, known = int(record["micro_batch_size"]), record.get("known")
                attempts[number] = Attempt(number, time, record["host"], size, known=known)
            elif record["event"] == "met":
                met = (*attempts[number].incidents, Incident(str(record["message"]), time))
                attempts[number] = replace(attempts[number], incidents=met)
            elif record["ending"] in ENDINGS:
                end = {"ended": time, "ending": record["ending"], "message": record["message"]}
                attempts[number] = replace(attempts[number], **end)
        except (KeyError, TypeError, ValueError):
            continue
    return [attempts[number] for number in sorted(attempts)]


def begin_attempt(path: Path, micro_batch_size: int, known: Mapping[str, Any] | None = None) -> int:
    """Write that an attempt begins, and return its number. For the process that holds the run.

    `known`: what the study says of the run now (`results.run_names.as_known`).
    """
    before = read_attempts(path)
    if before and before[-1].ending is None:
        end_attempt(path, before[-1].number, "preempted", "it ended without a word")
    number = before[-1].number + 1 if before else 1
    _append(
        path,
        {
            "event": "began",
            "attempt": number,
            "time": _now(),
            "host": socket.gethostname(),
            "micro_batch_size": micro_batch_size,
            **({"known": known} if known else {}),
        },
    )
    return number


def end_attempt(path: Path, number: int, ending: Ending, message: str) -> None:
    """Write how attempt `number` ended. For the process that holds the run."""
    event = {"event": "ended", "attempt": number, "time": _now(), "ending": ending}
    _append(path, event | {"message": message[:LONGEST_MESSAGE]})


def note_incident(path: Path, number: int, message: str) -> None:
    """Write what damage attempt `number` met. For the process that holds the run."""
    event = {"event": "met", "attempt": number, "time": _now()}
    _append(path, event | {"message": message[:LONGEST_MESSAGE]})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _append(path: Path, event: dict[str, Any]) -> None:
    writer = JsonlWriter(path)
    try:
        writer.append(event)
    finally:
        writer.close()


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in the file. It is an account of troubles, and must not become one itself."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
