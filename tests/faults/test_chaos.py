"""Hundreds of faults, drawn from a seed; `python -m tests.faults.chaos` prints what was seen of each."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.tiny import ROOT
from trm_scaling.io.study import Study


def chaos(*arguments: str) -> tuple[int, int]:
    """How many faults were tried, and on how many training processes. Fails when anything was lost."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.chaos", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    found = re.search(
        r"^(\d+) faults, (\d+) of them on real training processes; 0 with a loss", done.stdout, re.M
    )
    assert found is not None
    return int(found[1]), int(found[2])


# Each kind has a test of its own in the default suite; these are the same on training processes.
@pytest.mark.e2e
def test_a_few_faults_of_most_kinds_lose_nothing(trained: Study) -> None:
    faults, on_runs = chaos("--few", "--reference", str(trained.data_root), "--minutes", "60")
    assert faults >= 80
    assert on_runs >= 8


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_two_hundred_faults_lose_nothing(trained: Study) -> None:
    faults, on_runs = chaos("--reference", str(trained.data_root), "--minutes", "170")
    assert faults >= 200
    assert on_runs >= 60


def test_a_loss_is_found(tmp_path: Path) -> None:
    """A fault that is not made good is told, and fails the command."""
    broken = tmp_path / "sitecustomize.py"
    broken.write_text("import trm_scaling.io.jsonl as it\nit._whole_lines_length = lambda path: 0\n")
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.chaos", "--few", "--only", "JSON lines"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "LOST: torn last line, JSON lines: " in done.stderr
    assert "LOST |" in done.stdout
