"""Progress on screen: a bar where someone watches, now and then a line where a log is written."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trm_scaling.tasks.progress import Progress

_QUIET_SECONDS = 2.0
"""Work shorter than this is not announced in a log."""


@contextmanager
def shown_progress() -> Iterator["Progress"]:
    """A `Progress` for the block: rich bars on a terminal, otherwise one line per long phase."""
    if not sys.stderr.isatty():
        yield log_lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total or None)
            bars.update(tasks[phase], completed=done, total=total or None)

        yield show


def log_lines() -> "Progress":
    """A `Progress` that writes one line on standard error for a phase of over two seconds."""
    began: dict[str, float] = {}
    said: set[str] = set()

    def show(phase: str, done: int, total: int) -> None:
        start = began.setdefault(phase, time.monotonic())
        if phase not in said and time.monotonic() - start > _QUIET_SECONDS:
            said.add(phase)
            print(f"{phase}: {done:,}{f' of {total:,}' if total else ''}", file=sys.stderr, flush=True)

    return show
