"""`trm data maze` as a user types it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trm_scaling.cli.data import app
from trm_scaling.errors import UserError
from trm_scaling.tasks.maze.csv_file import read_csv
from trm_scaling.tasks.maze.dataset import open_maze

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "--source",
    "generated",
    "--size",
    "6",
    "--subsample-size",
    "9",
    "--val-size",
    "2",
    "--test-size",
    "3",
]


def test_a_build_prints_the_regime_and_inspect_prints_mazes(tmp_path: Path) -> None:
    out, lists = tmp_path / "out", tmp_path / "lists"
    command = ["maze", "--output-dir", str(out), *SMALL, "--aug", "--csv", str(lists)]
    built = CliRunner().invoke(app, command)
    assert built.exit_code == 0, built.output
    manifest, splits = open_maze(out)
    assert "9 training mazes, all eight images of each stored" in built.stdout
    assert manifest.fingerprint in built.stdout
    assert "wrote" in built.stdout
    moves = next(line for line in built.stdout.splitlines() if line.split()[:2] == ["train", "9"])
    assert re.search(r"ratings [-\d:, ]+; moves \d", moves), moves
    assert [len(read_csv(lists / f"{name}.csv")) for name in ("train", "val", "test")] == [9, 2, 3]
    assert len(splits["train"]) == 72
    shown = CliRunner().invoke(app, ["inspect", str(out), "--boards", "2"])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.count("┌────────────┐") == 6
    assert f"test 1, {splits['test'].difficulty[1]} moves" in shown.stdout
    again = CliRunner().invoke(app, command)
    assert "kept" in again.stdout


def test_perfect_mazes_and_a_range_of_walls_reach_the_manifest(tmp_path: Path) -> None:
    for flags, wish in (
        (["--kind", "perfect", "--max-moves", "12"], "perfect 6x6, shortest path unique, at least 6 moves"),
        (["--walls", "0.3"], "random 6x6, 30% walls"),
        (["--walls", "0.2-0.3", "--min-moves", "4"], "20% to 30% walls, shortest path unique, at least 4"),
    ):
        out = tmp_path / flags[1]
        built = CliRunner().invoke(app, ["maze", "--output-dir", str(out), *SMALL, *flags])
        assert built.exit_code == 0, built.output
        assert wish in str(open_maze(out)[0].wish)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--walls", "many"], "--walls 'many' is not a share"),
        (["--walls", "0.1-0.2-0.3"], "is not a share"),
        (["--walls", "0.5-0.4"], "min_wall_share=0.5 is above max_wall_share=0.4"),
        (["--max-moves", "3"], "max_moves=3 is below the fewest moves, 6"),
        (["--source", "nowhere"], "no list of mazes at nowhere/train.csv"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, flags: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["maze", "--output-dir", str(tmp_path / "out"), *SMALL, *flags])
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_the_script_runs_anywhere_and_imports_neither_jax_nor_pandas(tmp_path: Path) -> None:
    script = ROOT / "dataset" / "build_maze_dataset.py"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(script), "--output-dir", "out", *SMALL],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(open_maze(tmp_path / "out")[1]["train"]) == 9
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "numpy" in imported
    assert not {"jax", "pandas"} & imported
