"""Runs on a terminal or in a log: as rows of a table or as words, and a batch while it goes on."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from trm_scaling.cli.tables import bare_table
from trm_scaling.results.format import clock

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table

    from trm_scaling.results.progress import Progress
    from trm_scaling.run.batch.status import Board, Label, Row, View

STYLES: "dict[Label, str]" = {
    "waiting": "dim",
    "new": "dim",
    "running": "cyan",
    "elsewhere": "cyan",
    "interrupted": "yellow",
    "stopped": "yellow",
    "failed": "bold red",
    "finished": "green",
    "imported": "green",
    "not run": "dim",
}

_FOLDED_FIRST: "tuple[Label, ...]" = ("finished", "imported", "waiting", "new", "not run")
"""What gives way to the rest where a terminal has too few lines."""

_LINES_AROUND = 6
"""Of the line above the table and an empty one, its head, the counts below it and the cursor."""

_WIDE = 92
"""Characters from which on there is room for a bar, and for headings in full."""


def table(rows: "Sequence[Row]", height: int, width: int) -> "RenderableType":
    """`rows` on at most `height` lines of `width` characters; what does not fit is counted below."""
    from rich.console import Group
    from rich.text import Text

    shown, folded = fold(rows, max(3, height - _LINES_AROUND))
    counts = ", ".join(f"{number} {label}" for label, number in folded.items())
    below = [Text(f"and {counts}", style="dim")] if folded else []
    return Group(_table(shown, width), *below)


def fold(rows: "Sequence[Row]", most: int) -> "tuple[list[Row], Counter[Label]]":
    """At most `most` rows, in their order, and how many of which state were left out."""
    kept = list(rows)
    folded: Counter[Label] = Counter()
    for label in (*_FOLDED_FIRST, None):
        if len(kept) <= most:
            break
        # All finished ones go together, as a count; of the others, those that come last.
        surplus = len(kept) if label == "finished" else len(kept) - most
        for row in reversed([row for row in kept if label in (None, row.label)][-surplus:]):
            kept.remove(row)
            folded[row.label] += 1
    return kept, folded


def _table(rows: "Sequence[Row]", width: int) -> "Table":
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    has_seeds = len({row.seed for row in rows}) > 1
    has_profiles = len({row.profile for row in rows}) > 1
    is_wide = width >= _WIDE
    made = bare_table()
    made.add_column("run", no_wrap=True)
    if has_profiles:
        made.add_column("profile", no_wrap=True)
    if has_seeds:
        made.add_column("seed", justify="right")
    made.add_column("state", no_wrap=True)
    if is_wide:
        made.add_column("", width=12)
    heads = ("validation", "puzzles/s") if is_wide else ("valid", "puz/s")
    for head in ("step", "loss", *heads, "left"):
        made.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        progress = row.progress
        left = progress.seconds_left if row.label in ("running", "elsewhere") else None
        cells: list[RenderableType] = [called(row)]
        cells += [row.profile] if has_profiles else []
        cells += [str(row.seed)] if has_seeds else []
        cells.append(Text(state_of(row), style=STYLES[row.label]))
        if is_wide:
            known = progress.step is not None and progress.total_steps is not None
            done, total = progress.step or 0, progress.total_steps or 1
            bar = ProgressBar(total, done, 12, complete_style="cyan", finished_style="green")
            cells.append(bar if known else "")
        made.add_row(
            *cells,
            steps(progress),
            "" if progress.loss is None else f"{progress.loss:.3f}",
            rate(progress.validation_exact_rate),
            "" if progress.examples_per_s is None else f"{progress.examples_per_s:,.0f}",
            "" if left is None else clock(left),
        )
    return made


def state_of(row: "Row") -> str:
    """The state of a run; `compiling` for a running one whose process has not trained a step yet."""
    from trm_scaling.io.lease import read_lease

    if row.label not in ("running", "elsewhere"):
        return row.label
    lease, newest = read_lease(row.folder.path), row.progress.updated
    has_trained = lease is None or (newest is not None and newest >= lease.since)
    return row.label if has_trained else "compiling"


def called(row: "Row") -> str:
    """The name of a run, and how many others it has."""
    return row.names[0] + (f" +{len(row.names) - 1}" if len(row.names) > 1 else "")


def sums(rows: "Sequence[Row]") -> str:
    """`6 runs: 3 finished, 2 running, 1 waiting`."""
    counts = Counter(row.label for row in rows)
    ordered = sorted(STYLES, key=lambda label: label != "finished")
    return f"{len(rows)} run{'' if len(rows) == 1 else 's'}: " + ", ".join(
        f"{counts[each]} {each}" for each in ordered if counts[each]
    )


def in_words(row: "Row") -> str:
    """One run on one line of a log."""
    progress = row.progress
    parts = [f"step {steps(progress)}" if progress.step is not None else ""]
    if row.label == "finished":
        tested = progress.test_exact_rate
        parts = ["" if tested is None else f"{rate(tested)} of the test puzzles solved"]
    elif progress.step is not None:
        parts.append("" if progress.loss is None else f"loss {progress.loss:.3f}")
        validation = progress.validation_exact_rate
        parts.append("" if validation is None else f"validation {rate(validation)}")
        speed = progress.examples_per_s
        parts.append("" if speed is None else f"{speed:,.0f} puzzles/s")
        left = progress.seconds_left if row.label in ("running", "elsewhere") else None
        parts.append("" if left is None else f"{clock(left)} left")
    said = ", ".join(part for part in (*parts, row.message) if part)
    seed = f" seed {row.seed}" if row.seed else ""
    return f"{called(row)}{seed} {state_of(row)}" + (f": {said}" if said else "")


def steps(progress: "Progress") -> str:
    """`120/312`."""
    if progress.step is None:
        return ""
    return f"{progress.step}" + ("" if progress.total_steps is None else f"/{progress.total_steps}")


def rate(share: float | None) -> str:
    """A share in percent."""
    return "" if share is None else f"{share:.1%}"


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
