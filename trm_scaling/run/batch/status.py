"""How a batch stands, for whoever shows it, and how long the rest will take."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.progress import Progress, read_progress
from trm_scaling.run.batch.job import Job

Label = Literal[
    "waiting",
    "new",
    "running",
    "elsewhere",
    "interrupted",
    "stopped",
    "failed",
    "finished",
    "imported",
    "not run",
]
"""A run's state, and what a batch alone knows: `waiting` for its turn, running `elsewhere` (in a process
that the batch did not start), `not run` because the batch stopped before."""


@dataclass(frozen=True)
class Row:
    """One run."""

    names: tuple[str, ...]
    """Those that share it, the one to show first."""
    profile: str
    seed: int
    label: Label
    folder: RunFolder
    progress: Progress = field(default_factory=Progress)
    message: str = ""
    """Why it failed, or that the disk refused it."""


@dataclass(frozen=True)
class Board:
    """All runs of a batch at one moment."""

    rows: tuple[Row, ...]
    seconds: float
    """Since the batch began."""
    seconds_left: float | None
    """Until it is through, if the rest go as those that it finished; None before the first."""
    stopping: bool
    """Nothing more is started; what runs is waited for."""


class View(Protocol):
    """Shows a batch while it goes on."""

    def show(self, board: Board) -> None:
        """How things stand now: called several times a second."""
        ...

    def note(self, text: str) -> None:
        """Something happened that is worth a line of its own."""
        ...


READ_SECONDS = 1.0
"""Between two readings of a run's metrics."""


class Tally:
    """Keeps times, and the newest numbers of each run."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._began = time.monotonic()
        self._started: dict[int, float] = {}
        self._durations: list[float] = []
        self._read: dict[int, tuple[float, str, Progress]] = {}

    def started(self, job: Job) -> None:
        """A worker has begun with `job`."""
        self._started[id(job)] = time.monotonic()

    def finished(self, job: Job) -> None:
        """The worker has finished `job`."""
        began = self._started.get(id(job))
        if began is not None:
            self._durations.append(time.monotonic() - began)

    def board(self, jobs: Sequence[Job], stopping: bool) -> Board:
        """How things stand now."""
        rows = tuple(self._row(job, stopping) for job in jobs)
        left = None if stopping else self._seconds_left(rows)
        return Board(rows, time.monotonic() - self._began, left, stopping)

    def _row(self, job: Job, stopping: bool) -> Row:
        config = job.run.config
        label = _label(job, stopping)
        progress = self._progress(job, label)
        return Row(tuple(job.names), config.profile, job.seed, label, job.folder, progress, job.message)

    def _progress(self, job: Job, label: Label) -> Progress:
        if label in ("waiting", "not run"):
            return Progress()
        known = self._read.get(id(job))
        moves = label in ("running", "elsewhere")
        if known and known[1] == label and not (moves and time.monotonic() - known[0] > READ_SECONDS):
            return known[2]
        progress = read_progress(job.folder)
        self._read[id(job)] = (time.monotonic(), label, progress)
        return progress

    def _seconds_left(self, rows: Sequence[Row]) -> float | None:
        if not self._durations:
            return None
        usual = sum(self._durations) / len(self._durations)
        waiting = sum(row.label == "waiting" for row in rows) * usual
        running = [row.progress.seconds_left for row in rows if row.label == "running"]
        return (waiting + sum(usual / 2 if left is None else left for left in running)) / self._places


def _label(job: Job, stopping: bool) -> Label:
    match job.phase:
        case "waiting":
            return "not run" if stopping else "waiting"
        case "working":
            return "running"
        case "elsewhere":
            return "elsewhere"
        case "ended":
            assert job.outcome is not None
            return job.outcome
