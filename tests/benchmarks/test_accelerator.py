"""The first ten minutes of an accelerator, at toy size on a CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import accelerator

ROOT = Path(__file__).resolve().parents[2]


FAST_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
"""As `make test` has it: what is compiled here is timed for its form alone."""


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_every_section_has_its_rows_at_toy_size(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.accelerator", "--toy", "--out", str(tmp_path), "--seconds", "300"],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": FAST_COMPILE},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "report.json").read_text())["sections"]
    assert {name: each["ended"] for name, each in found.items()} == dict.fromkeys(
        accelerator.BUDGETS, "in budget"
    )
    rows = {name: each["rows"][1:] for name, each in found.items()}
    assert all(row["passed"] for row in rows["parity"])
    assert {row["way"] for row in rows["step"]} == {"as it is", "gate kernel", "scanned", "positions 20"}
    assert all(row["step_ms"] > 0 for row in rows["step"])
    assert all(row["puzzles_per_s"] > 0 for row in rows["evaluation"])
    assert all(row["ratio"] > 0 for row in rows["seeds"])
    assert 0 <= rows["solve"][0]["exact_rate"] <= 1
    assert rows["resume"][1]["attempts"] == 2
    page = (tmp_path / "report.md").read_text()
    assert all(title in page for title in accelerator.TITLES.values())


def test_what_is_measured_fits_into_nine_minutes() -> None:
    slack = 3 * len(accelerator.BUDGETS)
    assert sum(accelerator.BUDGETS.values()) + slack < 9 * 60


def test_a_section_that_takes_too_long_is_ended_and_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = tmp_path / "endless"
    endless.write_text(
        f"#!{sys.executable}\nimport pathlib, sys, time\n"
        "pathlib.Path(sys.argv[4]).write_text('{\"a\": 1}\\n')\n"
        "time.sleep(100)\n"
    )
    endless.chmod(0o755)
    monkeypatch.setattr(accelerator.sys, "executable", str(endless))
    found = accelerator._run_section("step", 2.5, True, tmp_path, {})
    assert (found["ended"], found["rows"]) == ("out of time", [{"a": 1}])


def test_half_a_row_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "step.jsonl"
    path.write_text('{"a": 1}\n{"a": ')
    assert accelerator._rows(path) == [{"a": 1}]
