"""Who is told how a run goes: a live display, or plain lines in a log."""

from typing import Any, Protocol


class Reporter(Protocol):
    """Told of training."""

    def started(self, step: int, total: int) -> None: ...
    def progressed(self, step: int, metrics: dict[str, float], examples_per_s: float | None) -> None: ...
    def evaluated(self, step: int, summary: dict[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...


class RunReporter(Reporter, Protocol):
    """Told of the other long work of a run too."""

    def working(self, phase: str, done: int, total: int) -> None: ...
