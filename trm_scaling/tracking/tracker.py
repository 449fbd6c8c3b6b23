"""The one object that training and evaluation report their numbers to."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, SupportsFloat

from trm_scaling.io.jsonl import JsonlWriter

Metric = SupportsFloat | str | Sequence[int] | None
"""A number, a word, the counts of a histogram, or nothing known."""

Kind = Literal["train", "eval"]


class Tracker:
    """Appends every record to a run's `metrics.jsonl`, the one that counts.

    `clock` gives the seconds of the run so far, those before a resume included. Without a path
    nothing is written: of several processes that train as one, one writes.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        self._lines = None if path is None else JsonlWriter(path)
        self._clock = clock

    def log(self, step: int, metrics: Mapping[str, Metric], *, kind: Kind = "train") -> None:
        """Write `metrics` of training step `step` with `step`, `time` (seconds) and `kind`.

        Numpy scalars become numbers, NaN and infinities null (see `trm_scaling.io.jsonl`).
        Raises `ValueError` for a metric of a reserved name and `UserError` on a full disk.
        """
        if taken := {"step", "time", "kind", "nonfinite"} & metrics.keys():
            raise ValueError(f"metrics may not be named {', '.join(sorted(taken))}: the record uses the name")
        if self._lines is not None:
            self._lines.append({"step": step, "time": round(self._clock(), 3), "kind": kind, **metrics})

    def sync(self) -> None:
        """Let what was logged survive a power cut. Raises `UserError` when the disk is full."""
        if self._lines is not None:
            self._lines.sync()

    def close(self) -> None:
        """Close the file. Every record is already in it."""
        if self._lines is not None:
            self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
