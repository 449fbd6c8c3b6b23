"""How a batch stands, for whoever shows it."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.progress import Progress

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
