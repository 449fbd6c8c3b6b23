"""Run folders as a trainer leaves them, and what W&B's client wrote beside them, read by its own tool."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import dump
from trm_scaling.io.atomic import write_json
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.tracking.tracker import Tracker

ID = "smoke-1a2b3c4d-s0"
CONFIG = RunConfig(name="exp01a", profile="smoke")
WANDB = Path(sys.executable).with_name("wandb")


def make_run(folder: Path, name: str = "exp01a") -> RunFolder:
    """A run folder that has its configuration and nothing else."""
    run = RunFolder(folder / "smoke" / name / "1a2b3c4d-s0")
    run.path.mkdir(parents=True)
    run.config.write_text(dump(CONFIG.model_copy(update={"name": name})))
    return run


def train(run: RunFolder, first: int, last: int) -> None:
    """Append the records of every tenth step from `first` to `last`, evaluated at each hundredth."""
    with Tracker(run.metrics, clock=lambda: 1.5) as tracker:
        for step in range(first, last + 1, 10):
            tracker.log(step, {"train/loss": 100 / step, "train/halt": [1, 0, 3], "time/rate": None})
            if step % 100 == 0:
                tracker.log(step, {"eval/exact_rate": step / 1000}, kind="eval")


FAILED = "other: UserError: no space left"


def fail(run: RunFolder) -> None:
    """Leave the word that a failing run leaves, which W&B is told as `FAILED`."""
    failure = {"failure": "other", "error": "UserError", "message": "no space left", "traceback": ""}
    write_json(run.failure, failure)


def finish(run: RunFolder) -> None:
    """Write what counts of a finished run's record: the average solves one puzzle of two."""

    def scores(averaged: bool, solved: int) -> dict[str, Any]:
        final = {"solved": solved, "puzzles": 2, "exact_rate": solved / 2, "cell_rate": 0.75}
        rule = {"exact_rate": 0.0, "mean_steps": 1.5, "steps_histogram": [1, 1]}
        summary = {"final": final, "halting_rule": rule}
        return {"at": "best", "averaged": averaged, "step": 100, "summary": summary}

    record = {
        "version": 1,
        "status": "finished",
        "name": CONFIG.name,
        "config": CONFIG.model_dump(mode="json"),
        "parameters": 1234,
        "training_flops": 5e12,
        "mfu": None,
        "test": [scores(True, 1), scores(False, 0)],
        "learning_curve": [{"step": 100}],
    }
    write_json(run.result, record)


@dataclass
class OfflineRun:
    """What one `offline-run-*` folder holds."""

    run: dict[str, Any]
    """The record that opened it."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of its history, nested keys joined by dots."""
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def steps(self) -> list[int]:
        return [row["_step"] for row in self.rows]


def offline_runs(run: RunFolder) -> list[OfflineRun]:
    """The offline folders beside `run`, the oldest first."""
    return [_read(folder) for folder in sorted((run.path / "wandb").glob("offline-run-*"))]


def _read(folder: Path) -> OfflineRun:
    done = subprocess.run(
        [WANDB, "leet", "inspect", "--json", folder],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"WANDB_MODE": "offline"},
        check=True,
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    read = OfflineRun(next(each["run"] for each in records if each["type"] == "run"))
    for record in records:
        match record["type"]:
            case "history":
                read.rows.append(record["history"]["item"])
            case "summary":
                read.summary |= record["summary"].get("update", {})
            case "exit":
                read.exit_code = record["exit"].get("exit_code", 0)
    return read
