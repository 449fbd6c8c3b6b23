"""Signs of life between the processes of a run, and of progress within each.

A killed process takes its connections with it, and some of the others find out in the middle of a
sum; one that hangs tells nobody, and all others wait for it for ever. So every process renews a note in
the coordination service, each second, and looks at the notes of all others. A second thread judges by
what it saw last: it needs no answer from a service whose process may be the one that is stuck.
"""

import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

BEAT_SECONDS = 1.0
"""Between two signs of life, and between two judgements."""

SLOWEST_CALL = 4
"""A call may take so many times as long as the longest before it."""

_BEATS = "trm/beats/"


class Client(Protocol):
    """The part of JAX's coordination service that is used here."""

    def key_value_set(self, key: str, value: str, allow_overwrite: bool) -> None: ...
    def key_value_dir_get(self, key: str) -> list[tuple[str, str]]: ...


@dataclass
class Silence:
    """Seconds since something happened, counted in the judge's own beats: while this process was itself
    suspended, nothing counts."""

    seconds: float = 0.0
    seen: str = ""

    def saw(self, what: str) -> None:
        if what != self.seen:
            self.seen, self.seconds = what, 0.0


@dataclass
class Progress:
    """How long this process has been at one thing, and how long it may be."""

    stall_seconds: float = math.inf
    startup_seconds: float = math.inf
    since: float = 0.0
    longest: float = 0.0
    is_starting: bool = True

    @property
    def limit(self) -> float:
        """Seconds that may pass before the next sign of progress."""
        usual = max(self.stall_seconds, SLOWEST_CALL * self.longest)
        return max(usual, self.startup_seconds) if self.is_starting else usual

    def made(self) -> None:
        """A device call was completed."""
        if not self.is_starting:
            self.longest = max(self.longest, self.since)
        self.is_starting, self.since = False, 0.0

    def starts(self) -> None:
        """Something of unknown length begins: a compilation, a file of many gigabytes."""
        self.is_starting, self.since = True, 0.0


@dataclass
class Note:
    """What a process says of itself with every beat."""

    beat: int = 0
    asked: str | None = None
    """The signal by which it was asked to stop."""
    failed: list[Any] | None = None
    """Exit status, and what was said of it, of a process that is about to end."""


Verdict = Callable[[int | None, str], None]
"""Told why the run cannot go on: the exit status of another process (None: it is lost), and the story."""


class Heartbeat:
    """The two threads of one process. Nothing is judged until `watch`."""

    def __init__(self, client: Client, count: int, index: int) -> None:
        self._client = client
        self._index = index
        self._note = Note()
        self._silences = {other: Silence() for other in range(count) if other != index}
        self._notes: dict[int, Note] = {}
        self._ended = threading.Event()
        self._heard = threading.Event()
        self.asked: str | None = None
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    @property
    def asked_of_others(self) -> str | None:
        """What another process was asked to stop by."""
        return next((note.asked for note in list(self._notes.values()) if note.asked), None)

    @contextmanager
    def watch(self, lost_seconds: float, progress: Progress, verdict: Verdict) -> Iterator[None]:
        """For the block: `verdict` when another process failed or is silent, or this one is stuck."""
        over = threading.Event()
        judge = threading.Thread(
            target=self._judge, args=(over, lost_seconds, progress, verdict), name="judge", daemon=True
        )
        judge.start()
        try:
            yield
        finally:
            over.set()

    def fail(self, status: int, message: str, seconds: float) -> None:
        """Tell the others what ends this process; returns once it was said, or after `seconds`."""
        self._note.failed = [status, message]
        self._heard.clear()
        # Twice: a beat that was under way may have been written before the note.
        for _ in range(2):
            self._heard.wait(seconds / 2)
            self._heard.clear()

    def end(self) -> None:
        """Say no more."""
        self._ended.set()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self._note.beat += 1
            self._note.asked = self.asked
            try:
                own = json.dumps(self._note.__dict__)
                self._client.key_value_set(f"{_BEATS}{self._index}", own, allow_overwrite=True)
                said = self._client.key_value_dir_get(_BEATS)
            except RuntimeError:
                # The service is gone or does not answer: everybody is silent then, and judged so.
                continue
            for key, value in said:
                other = int(key.rpartition("/")[2])
                if other != self._index:
                    self._notes[other] = Note(**json.loads(value))
                    self._silences[other].saw(value)
            self._heard.set()

    def _judge(
        self, over: threading.Event, lost_seconds: float, progress: Progress, verdict: Verdict
    ) -> None:
        while not over.wait(BEAT_SECONDS):
            for other, note in list(self._notes.items()):
                if note.failed is not None:
                    return verdict(note.failed[0], f"process {other} ended: {note.failed[1]}")
            for other, silence in self._silences.items():
                silence.seconds += BEAT_SECONDS
                if silence.seconds > lost_seconds:
                    return verdict(None, self._story(other, silence.seconds))
            progress.since += BEAT_SECONDS
            if progress.since > progress.limit:
                return verdict(
                    None,
                    f"process {self._index} has completed nothing for {progress.since:.0f} s "
                    f"(system.stall_seconds={progress.stall_seconds:g}, the longest call before took "
                    f"{progress.longest:.0f} s)",
                )

    def _story(self, other: int, seconds: float) -> str:
        silent = [number for number, each in self._silences.items() if each.seconds > seconds / 2]
        if 0 in silent and len(silent) == len(self._silences):
            return f"process 0, over which all others talk, has not answered for {seconds:.0f} s"
        return f"process {other} has given no sign of life for {seconds:.0f} s"
