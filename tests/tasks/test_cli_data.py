"""The dataset commands as a user types them."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trm_scaling.cli.data import app
from trm_scaling.config.compose import compose
from trm_scaling.errors import UserError
from trm_scaling.tasks.opening import open_dataset

ROOT = Path(__file__).resolve().parents[2]
SEED = ["--subsample-size", "1000", "--num-aug", "1000"]
SMALL = [
    "--source",
    "generated",
    "--box",
    "2x2",
    "--subsample-size",
    "20",
    "--val-size",
    "5",
    "--test-size",
    "5",
]


def test_a_build_prints_the_regime_and_inspect_prints_boards(tmp_path: Path) -> None:
    out = tmp_path / "out"
    built = CliRunner().invoke(app, ["sudoku", "--output-dir", str(out), *SMALL, "--num-aug", "3"])
    assert built.exit_code == 0, built.output
    assert "20 training puzzles, 3 augmentations each" in built.stdout
    assert open_dataset(out).fingerprint in built.stdout
    shown = CliRunner().invoke(app, ["inspect", str(out), "--boards", "2"])
    assert shown.exit_code == 0, shown.output
    assert "train 1, 0 guesses" in shown.stdout
    assert shown.stdout.count("----+----") == 2 * 3 * 2


def test_the_seed_s_command_builds_what_the_baseline_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    built = "trm_scaling.tasks.build.build_dataset"
    monkeypatch.setattr(built, lambda config, *_, **__: asked.append(config))
    CliRunner().invoke(app, ["sudoku", "--output-dir", str(tmp_path), *SEED])
    assert asked == [compose(ROOT / "kellen" / "configs", "baseline", "paper").data]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--box", "2x"], "--box"),
        (["--min-rating", "5", "--max-rating", "4"], "min_rating=5 is above max_rating=4"),
        (["--givens", "12", "--minimal", "--source", "generated"], "givens=12 and minimal=true exclude"),
        (["--givens", "12", "--source", "list.csv"], "givens and minimal describe generated puzzles"),
        (["--test-source", "test.csv"], "test_source=test.csv needs a source"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, flags: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["sudoku", "--output-dir", str(tmp_path / "out"), *flags])
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


def run_script(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "dataset" / "build_sudoku_dataset.py"
    return subprocess.run(
        [sys.executable, "-X", "importtime", str(script), *arguments], cwd=cwd, capture_output=True, text=True
    )


def test_the_seeds_command_runs_anywhere_and_imports_neither_jax_nor_pandas(tmp_path: Path) -> None:
    done = run_script("--output-dir", "out", *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(open_dataset(tmp_path / "out").train) == 20
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "numba" in imported
    assert not imported & {"jax", "pandas", "huggingface_hub"}


def test_the_seeds_command_fails_with_one_message_and_no_traceback(tmp_path: Path) -> None:
    done = run_script("--output-dir", "out", "--source", "nothing.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "error: no puzzle list at nothing.csv" in done.stderr
    assert "Traceback" not in done.stderr
