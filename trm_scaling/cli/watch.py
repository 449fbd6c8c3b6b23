"""A batch while it goes on: a live table on a terminal, lines in a log. Neither ends with its terminal."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from trm_scaling.cli.quantities import clock
from trm_scaling.cli.rows import in_words, sums, table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from trm_scaling.run.batch.board import Board, Label, View

REFRESH_SECONDS = 0.5
LINE_SECONDS = 60.0
"""Between two lines where there is no terminal."""


_SETTLED = ("finished", "failed")


class SteadyStream:
    """A text stream that goes on when nobody reads it any more, as after the closing of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def _give_up(self) -> None:
        # What is still in the stream's buffer must go somewhere, or the exit of Python fails on it.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class LineView:
    """A line for each change of a run's state, and one every minute."""

    def __init__(self, stream: SteadyStream) -> None:
        self._stream = stream
        self._labels: list[Label] | None = None
        self._said = time.monotonic()

    def show(self, board: "Board") -> None:
        if self._labels is None:
            # Those that need nothing are counted; the rest have their own lines.
            self._labels = [row.label if row.label in _SETTLED else "waiting" for row in board.rows]
            self.note(sums(board.rows))
        for row, before in zip(board.rows, self._labels, strict=True):
            if row.label != before:
                self.note(in_words(row))
        self._labels = [row.label for row in board.rows]
        if time.monotonic() - self._said >= LINE_SECONDS:
            running = [in_words(row) for row in board.rows if row.label in ("running", "elsewhere")]
            self.note("; ".join([headline(board), *running]))

    def note(self, text: str) -> None:
        self._said = time.monotonic()
        self._stream.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
        self._stream.flush()


class TableView:
    """A table that is drawn over itself, with the notes scrolling above it."""

    def __init__(self, console: "Console", live: "Live") -> None:
        self._console = console
        self._live = live
        self._drawn = 0.0
        self._labels: list[Label] = []

    def show(self, board: "Board") -> None:
        labels = [row.label for row in board.rows]
        if labels == self._labels and time.monotonic() - self._drawn < REFRESH_SECONDS:
            return
        self._labels, self._drawn = labels, time.monotonic()
        from rich.console import Group
        from rich.text import Text

        height, width = self._console.height, self._console.width
        head = Text(headline(board), no_wrap=True, overflow="ellipsis")
        self._live.update(Group(head, "", table(board.rows, height, width)), refresh=True)

    def note(self, text: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')}  {text}", highlight=False, markup=False)


def headline(board: "Board") -> str:
    """The sums of a batch, and its time."""
    left = board.seconds_left
    ahead = f", about {clock(left)} left" if left else ""
    stopping = "stopping · " if board.stopping else ""
    return f"{stopping}{clock(board.seconds)} so far{ahead} · {sums(board.rows)}"


@contextmanager
def shown_batch() -> Iterator["View"]:
    """The view that fits standard output, for the block."""
    stream = SteadyStream(sys.stdout)
    if not stream.isatty():
        yield LineView(stream)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream)  # type: ignore[arg-type] # it asks for no more than there is
    # Refreshed by hand: a thread of its own would draw while a signal is handled.
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        yield TableView(console, live)
