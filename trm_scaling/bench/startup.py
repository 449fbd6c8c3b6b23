"""What a user waits for before anything is computed: processes, timed from outside."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trm_scaling.bench.timing import Spread
from trm_scaling.errors import UserError


@dataclass(frozen=True)
class StartupBench:
    """Seconds from typing a command to its end, in processes of their own."""

    help_s: Spread
    """`trm --help`"""
    list_s: Spread
    """`trm batch --list`, every experiment of the study."""
    status_s: Spread
    """`trm status`"""
    first_step_s: Spread
    """Interpreter, imports, composition, state, compilation (from the cache but for the first time), one
    call of one step."""


def bench_startup(
    study: Path, experiment: str, profile: str, overrides: Sequence[str], repeats: int
) -> StartupBench:
    """Run each command `repeats` times, in turn, so that a machine whose speed drifts treats them alike.

    Raises UserError with what it said when one of them fails.
    """
    where = ("--study", str(study), "--profile", profile)
    one_step = (experiment, *overrides, "system.steps_per_call=1", "--calls", "1")
    commands = (
        ("--help",),
        ("batch", "--list", *where),
        ("status", *where),
        ("bench", "step", *one_step, *where),
    )
    seconds: list[list[float]] = [[] for _ in commands]
    for _ in range(repeats):
        for command, each in zip(commands, seconds, strict=True):
            each.append(_seconds(command))
    return StartupBench(*map(Spread.of, seconds))


def _seconds(arguments: Sequence[str]) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "trm_scaling", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise UserError(f"`trm {' '.join(arguments)}` failed with status {done.returncode}: {said}")
    return time.perf_counter() - began
