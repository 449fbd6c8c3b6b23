"""Runs as rows and as words, and a batch that goes on when nobody can look any more."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from trm_scaling.cli import batch_view
from trm_scaling.cli.batch_view import LineView, SteadyStream, fold, in_words, shown_batch, sums, table
from trm_scaling.io.lease import hold
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.format import clock
from trm_scaling.results.progress import Progress
from trm_scaling.run.batch.status import Board, Label, Row

RUNNING = Progress(120, 312, 0.4123, 0.853, None, 1095.4, 61.0)


def row(name: str, label: Label, progress: Progress = RUNNING, message: str = "", seed: int = 0) -> Row:
    return Row((name,), "smoke", seed, label, RunFolder(Path(name)), progress, message)


def drawn(rows: list[Row], height: int, width: int) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(table(rows, height, width))
    return captured.get().rstrip().splitlines()


def test_a_row_says_how_a_run_stands() -> None:
    rows = [row("exp01a", "running"), row("exp01b", "waiting", Progress())]
    (line,) = (line for line in drawn(rows, 24, 80) if "exp01a" in line)
    assert line.split() == ["exp01a", "running", "120/312", "0.412", "85.3%", "1,095", "1:01"]
    (line,) = (line for line in drawn(rows, 24, 80) if "exp01b" in line)
    assert line.split() == ["exp01b", "waiting"]


def test_a_process_that_has_not_trained_a_step_is_compiling(tmp_path: Path) -> None:
    with hold(tmp_path):
        for updated, said in ((None, "compiling"), ("2020-01-01", "compiling"), ("2999", "running")):
            begun = Row(("baseline",), "smoke", 0, "running", RunFolder(tmp_path), Progress(updated=updated))
            assert in_words(begun).split() == ["baseline", said]
            assert said in drawn([begun], 24, 80)[-1]


def test_other_names_are_counted_and_seeds_shown_where_there_are_several() -> None:
    shared = Row(("baseline", "exp01c", "exp02a_03"), "smoke", 1, "running", RunFolder(Path()), RUNNING)
    lines = drawn([shared, row("exp01a", "running")], 24, 80)
    assert any(line.split()[:4] == ["baseline", "+2", "1", "running"] for line in lines)
    assert "seed" in lines[0]
    assert "seed" not in "".join(drawn([shared], 24, 80))


@pytest.mark.parametrize(("width", "name"), [(80, "contrib01_curriculum"), (140, "exp01a")])
@pytest.mark.parametrize("height", [10, 24, 50])
def test_it_fits_the_terminal(width: int, height: int, name: str) -> None:
    labels: list[Label] = [*["finished"] * 20, *["running"] * 2, "failed", *["waiting"] * 60]  # type: ignore[list-item]
    progress = Progress(8_138, 81_380, 0.4, 1.0, None, 123_456.0, 400_000.0)
    lines = drawn([row(name, label, progress) for label in labels], height, width)
    # A line above the table and an empty one, and the one that the cursor is on.
    assert len(lines) == height - 3
    assert max(map(len, lines)) <= width
    assert sum("running" in line for line in lines) == 2
    assert sum("failed" in line for line in lines) == 1
    assert "…" not in "".join(lines)


def test_finished_ones_are_folded_first_and_all_together() -> None:
    labels: list[Label] = ["finished", "running", "finished", "waiting", "failed", "waiting"]
    rows = [row(f"exp{number}", label) for number, label in enumerate(labels)]
    kept, folded = fold(rows, 6)
    assert (kept, folded) == (rows, {})
    kept, folded = fold(rows, 5)
    assert [each.names[0] for each in kept] == ["exp1", "exp3", "exp4", "exp5"]
    assert folded == {"finished": 2}
    kept, folded = fold(rows, 3)
    assert [each.names[0] for each in kept] == ["exp1", "exp3", "exp4"]
    assert folded == {"finished": 2, "waiting": 1}
    kept, folded = fold([row("a", "running"), row("b", "failed"), row("c", "running")], 2)
    assert [each.names[0] for each in kept] == ["a", "b"]
    assert folded == {"running": 1}


def test_in_words() -> None:
    assert in_words(row("exp01a", "running")) == (
        "exp01a running: step 120/312, loss 0.412, validation 85.3%, 1,095 puzzles/s, 1:01 left"
    )
    tested = Progress(312, 312, 0.1, 1.0, 0.0, 900.0)
    assert in_words(row("exp01a", "finished", tested, seed=2)) == (
        "exp01a seed 2 finished: 0.0% of the test puzzles solved"
    )
    assert in_words(row("exp01a", "failed", Progress(), "why")) == "exp01a failed: why"
    assert in_words(row("exp01a", "waiting", Progress())) == "exp01a waiting"
    rows = [row("a", "running"), row("b", "finished"), row("c", "finished"), row("d", "waiting")]
    assert sums(rows) == "4 runs: 2 finished, 1 waiting, 1 running"
    assert sums(rows[:1]).startswith("1 run: ")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1 h 00 min"), (400_000, "4 d 15 h")],
)
def test_durations(seconds: float, said: str) -> None:
    assert clock(seconds) == said


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
        "from tests.cli.test_batch_view import board, row\n"
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
