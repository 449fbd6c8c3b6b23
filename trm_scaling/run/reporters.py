"""Progress of one run: a bar where someone watches, plain lines where a log is written."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from trm_scaling.tasks.folder import Progress

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


LOG_SECONDS = 30.0
"""Seconds between two lines of progress where there is no terminal."""


def evaluation_line(step: int, summary: dict[str, Any]) -> str:
    """One evaluation on validation, as people read it."""
    final, rule = summary["final"], summary["halting_rule"]
    return (
        f"step {step:>6,}  validation {final['exact_rate']:7.2%} exact, {final['cell_rate']:7.2%} cells, "
        f"halting after {rule['mean_steps']:.1f} steps"
    )


class NoReporter:
    """Nothing: of several processes, one reports."""

    def working(self, phase: str, done: int, total: int) -> None: ...
    def started(self, step: int, total: int) -> None: ...
    def progressed(self, step: int, metrics: dict[str, float], examples_per_s: float | None) -> None: ...
    def evaluated(self, step: int, summary: dict[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...


class LogReporter:
    """Plain lines on standard output, one every half a minute, each after the run's label if it has one."""

    def __init__(self, label: str = "", file: TextIO | None = None) -> None:
        """`file`: where the lines go; standard output by default."""
        self._file = file
        self.working = log_lines()
        self._prefix = f"{label}: " if label else ""
        self._total = 0
        self._said = time.monotonic()

    def started(self, step: int, total: int) -> None:
        self._total = total
        self.note(f"training from step {step:,} to {total:,}; compiling first")

    def progressed(self, step: int, metrics: dict[str, float], examples_per_s: float | None) -> None:
        if time.monotonic() - self._said >= LOG_SECONDS:
            self.note(f"step {step:>6,} of {self._total:,}  {metrics_text(metrics, examples_per_s)}")

    def evaluated(self, step: int, summary: dict[str, Any]) -> None:
        self.note(evaluation_line(step, summary))

    def note(self, text: str) -> None:
        self._said = time.monotonic()
        try:
            print(f"{self._prefix}{text}", flush=True, file=self._file)
        except OSError:
            # A log is worth no run: on a full disk it ends here, and the run says so itself when it saves.
            if self._file is None:
                raise


class LoggingReporter:
    """What `shown` shows, and the same as plain lines in the run's own log, from the first step on.

    Before that this process may not have the run's folder: another may be training it.
    """

    def __init__(self, shown: "LogReporter | BarReporter", open_log: Callable[[], TextIO | None]) -> None:
        """`open_log`: asked once, when training starts; None where what is shown is in that log anyway."""
        self.working = shown.working
        self._shown = shown
        self._open = open_log
        self._log: LogReporter | None = None
        self._before: list[str] = []

    def started(self, step: int, total: int) -> None:
        self._shown.started(step, total)
        file = self._open()
        if file is None:
            return
        self._log = LogReporter(file=file)
        for text in self._before:
            self._log.note(text)
        self._log.started(step, total)

    def progressed(self, step: int, metrics: dict[str, float], examples_per_s: float | None) -> None:
        self._shown.progressed(step, metrics, examples_per_s)
        if self._log is not None:
            self._log.progressed(step, metrics, examples_per_s)

    def evaluated(self, step: int, summary: dict[str, Any]) -> None:
        self._shown.evaluated(step, summary)
        if self._log is not None:
            self._log.evaluated(step, summary)

    def note(self, text: str) -> None:
        self._shown.note(text)
        self.log(text)

    def log(self, text: str) -> None:
        """A line for the log alone."""
        if self._log is not None:
            self._log.note(text)
        else:
            self._before.append(text)


class BarReporter:
    """A live bar with the evaluations scrolling above it, each after the run's label if it has one."""

    def __init__(self, bars: "Bars", label: str = "") -> None:
        self._bars = bars
        self._label = label
        self._tasks: dict[str, TaskID] = {}

    def working(self, phase: str, done: int, total: int) -> None:
        self._show(phase, done, total, "")

    def started(self, step: int, total: int) -> None:
        self._total = total
        self._show("training", step, total, "compiling")

    def progressed(self, step: int, metrics: dict[str, float], examples_per_s: float | None) -> None:
        self._show("training", step, self._total, metrics_text(metrics, examples_per_s))

    def _show(self, phase: str, done: int, total: int, numbers: str) -> None:
        if phase not in self._tasks:
            described = f"{phase}, {self._label}" if self._label else phase
            self._tasks[phase] = self._bars.add_task(described, numbers=numbers)
        self._bars.update(self._tasks[phase], completed=done, total=total or None, numbers=numbers)

    def evaluated(self, step: int, summary: dict[str, Any]) -> None:
        self.note(evaluation_line(step, summary))

    def note(self, text: str) -> None:
        said = f"{self._label}: {text}" if self._label else text
        self._bars.console.print(said, highlight=False, markup=False)


def metrics_text(metrics: dict[str, float], examples_per_s: float | None) -> str:
    """The few numbers that tell whether training goes well."""
    exact = metrics.get("train/finished_exact_rate")
    parts = [f"loss {metrics['train/loss']:.3f}"]
    if exact is not None:
        parts.append(f"exact {exact:.0%}")
    if examples_per_s is not None:
        parts.append(f"{examples_per_s:,.0f} puzzles/s")
    return ", ".join(parts)


@contextmanager
def live_reporters(labels: Sequence[str]) -> Iterator[Sequence[LogReporter | BarReporter]]:
    """The reporters that fit standard output, for the block: one a run."""
    if not sys.stdout.isatty():
        yield [LogReporter(label) for label in labels]
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    with Progress(*columns) as bars:
        yield [BarReporter(bars, label) for label in labels]
