"""A few hundred inputs in every run of the suite, and 100,000 in `make slow`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def fuzzed(inputs: int, seed: int) -> str:
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", str(inputs), "--seed", str(seed)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_some_inputs_are_read_or_refused() -> None:
    assert fuzzed(600, 1).splitlines()[-1].split()[:2] == ["all", "600"]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_hundred_thousand_inputs_are_read_or_refused() -> None:
    said = fuzzed(100_000, 0)
    print(said)
    assert said.splitlines()[-1].split()[:2] == ["all", "100,000"]
