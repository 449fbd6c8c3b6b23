"""A batch that is looked at, and goes on when nobody can look any more."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_rows import RUNNING, row
from trm_scaling.cli import batch_view
from trm_scaling.cli.batch_view import LineView, SteadyStream, shown_batch
from trm_scaling.results.progress import Progress
from trm_scaling.run.batch.status import Board, Row


def board(*rows: Row, seconds: float = 5.0, stopping: bool = False) -> Board:
    return Board(rows, seconds, 90.0, stopping)


def lines_of(output: io.StringIO) -> list[str]:
    """What was said, without the time of day."""
    return [line[10:] for line in output.getvalue().splitlines()]


def test_a_log_has_a_line_for_each_change() -> None:
    output = io.StringIO()
    view = LineView(SteadyStream(output))
    waiting = row("exp01b", "waiting", Progress())
    view.show(board(row("exp01", "finished"), row("exp01a", "running", Progress()), waiting))
    view.show(board(row("exp01", "finished"), row("exp01a", "running"), waiting))
    view.note("exp01a: out of memory; once more")
    view.show(board(row("exp01", "finished"), row("exp01a", "failed", RUNNING, "why"), waiting))
    assert lines_of(output) == [
        "3 runs: 1 finished, 1 waiting, 1 running",
        "exp01a running",
        "exp01a: out of memory; once more",
        "exp01a failed: step 120/312, loss 0.412, validation 85.3%, 1,095 puzzles/s, why",
    ]


def test_a_log_has_a_line_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(batch_view.time, "monotonic", lambda: now[0])
    output = io.StringIO()
    view = LineView(SteadyStream(output))
    shown = board(row("exp01a", "running"), row("exp01b", "waiting", Progress()))
    view.show(shown)
    before = len(lines_of(output))
    for now[0] in (30.0, 59.0, 60.0, 90.0, 119.0, 120.0):
        view.show(shown)
    said = lines_of(output)[before:]
    assert (
        said
        == [
            "0:05 so far, about 1:30 left · 2 runs: 1 waiting, 1 running; exp01a running: step 120/312, "
            "loss 0.412, validation 85.3%, 1,095 puzzles/s, 1:01 left"
        ]
        * 2
    )


def test_a_reader_that_goes_away_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with shown_batch() as view:
            view.note("somebody reads")
            os.close(reading)
            for _ in range(3):
                view.note("nobody reads")
                view.show(board(row("exp01a", "running")))


def test_a_terminal_that_closes_ends_nothing(tmp_path: Path) -> None:
    """A process draws on a terminal of its own, which is closed under it; its exit is as good as ever."""
    program = (
        "import sys, time\n"
        "from tests.cli.test_watch import board, row\n"
        "from trm_scaling.cli.batch_view import shown_batch\n"
        "with shown_batch() as view:\n"
        "    view.show(board(row('exp01a', 'running')))\n"
        "    sys.stdin.readline()\n"
        "    for label in ('failed', 'running', 'finished'):\n"
        "        view.note('a line above')\n"
        "        view.show(board(row('exp01a', label)))\n"
        "open(sys.argv[1], 'w').write('through')\n"
    )
    main, terminal = os.openpty()
    done = tmp_path / "done"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(done)],
        stdin=subprocess.PIPE,
        stdout=terminal,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    )
    os.close(terminal)
    drawn = ""
    while "120/312" not in drawn:
        drawn += os.read(main, 4096).decode()
    os.close(main)
    _, errors = process.communicate("go on\n")
    assert (process.returncode, errors) == (0, "")
    assert done.read_text() == "through"
