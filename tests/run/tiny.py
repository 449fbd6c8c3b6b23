"""The smallest run that goes through everything, in a study of its own, and `trm` as a user types it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.run.planned import Run, plan_run

ROOT = Path(__file__).resolve().parents[2]
TRM = Path(sys.executable).with_name("trm")

STEPS, EVAL_EVERY, STEPS_PER_CALL = 60, 10, 2
TINY = (
    "arch.hidden_size=16",
    "arch.L_cycles=2",
    "arch.H_cycles=2",
    "arch.halt_max_steps=2",
    "arch.puzzle_emb_len=1",
    "data.train_size=32",
    "data.val_size=32",
    "data.test_size=32",
    "data.givens=null",
    "eval_puzzles=16",
    "global_batch_size=16",
    "schedule=as_written",
    "epochs=30",
    "eval_interval=5",
    "lr=1e-3",
    "puzzle_emb_lr=5e-4",
    "lr_warmup_steps=2",
    "system.micro_batch_size=16",
    f"system.steps_per_call={STEPS_PER_CALL}",
    "system.test_weights=all",
)
"""60 steps in about two seconds, evaluated every 10."""

SAVE_ALWAYS = "system.checkpoint_seconds=0.001"
"""After each call of two steps, so that a save is nearly always under way."""


def make_study(folder: Path) -> Study:
    """A study in `folder` with this repository's configurations and nothing else."""
    shutil.copytree(ROOT / "kellen" / "configs", folder / "kellen" / "configs")
    return Study(folder.resolve() / "kellen")


def tiny_run(study: Study, *overrides: str) -> Run:
    """The tiny run in `study`; later overrides win."""
    return plan_run(study, "baseline", "smoke", [*TINY, *overrides])


def tiny_folder(study: Study, *overrides: str) -> RunFolder:
    """Where the tiny run of `study` is."""
    return tiny_run(study, *overrides).folder


def run_command(*overrides: str) -> list[str]:
    """The arguments of `trm` that train the tiny run."""
    return ["run", "baseline", "--profile", "smoke", *TINY, *overrides]


def environment() -> dict[str, str]:
    """Of a `trm` process: on the CPU, with the compiled programs of the test suite at hand."""
    cache = str(ROOT / ".cache" / "jax")
    return {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": cache, **os.environ}


def trm(
    folder: Path, arguments: Sequence[str], variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `trm` in `folder` to its end."""
    return subprocess.run(
        [TRM, *arguments],
        cwd=folder,
        env=environment() | (variables or {}),
        capture_output=True,
        text=True,
    )


@cache
def finished(base: Path) -> tuple[Study, str]:
    """A study under `base` in which `trm run` has trained the tiny run to its end, and what it printed."""
    study = make_study(base / "finished")
    done = trm(study.data_root, run_command())
    assert done.returncode == 0, done.stderr
    return study, done.stdout


def copy_of(study: Study, folder: Path) -> Study:
    """A copy of `study`, its data and its runs in `folder`, to be changed as a test likes."""
    shutil.copytree(study.data_root, folder)
    return Study(folder.resolve() / "kellen")
