"""Runs as a table that fits its terminal, and as words."""

from pathlib import Path

import pytest
from rich.console import Console

from trm_scaling.cli.batch_view import fold, in_words, sums, table
from trm_scaling.io.lease import hold
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.format import clock
from trm_scaling.results.progress import Progress
from trm_scaling.run.batch.status import Label, Row

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
