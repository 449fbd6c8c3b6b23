"""Kill a run with SIGKILL again and again, resume it each time, and compare it with one left alone.

    python -m tests.faults.kill_and_resume --kills 10 --seed 0

A kill is aimed at a moment (`tests.faults.moments`), so a kill during a save leaves a half-written
checkpoint, always.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.moments import Moment, Stage, command
from tests.run.tiny import ROOT, SAVE_ALWAYS, environment, make_study, run_command, tiny_folder, trm
from trm_scaling.checkpoint.folder import finished_steps
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study

LONGEST_DELAY: dict[Stage, float] = {
    "start": 1.5,
    "dataset": 0.2,
    "compile": 0.6,
    "train": 0.03,
    "save": 0.01,
    "evaluate": 0.01,
    "test": 0.1,
    "result": 0.02,
}
"""Seconds: a strike comes up to this long after its moment began, or as the moment ends."""

LATEST: dict[Stage, int] = {"train": 4, "save": 3}
"""Of stages that a process enters again and again, the last time that is struck: ten kills go not too far."""

CIRCUMSTANCES = {
    *(
        "other_load",
        "examples_per_s",
        "mfu",
        "peak_memory_bytes",
        "compile_s",
        "train_s",
        "eval_s",
        "checkpoint_s",
    ),
    *("commit", "uncommitted_changes", "attempts", "failures", "incidents"),
}
"""What may differ between two runs of the same result, beside the times in the metrics."""


@dataclass(frozen=True)
class Kill:
    """A kill that happened, and what it left."""

    moment: Moment
    seconds: float
    """After the process began."""
    saved: int | None
    """The newest finished checkpoint."""
    leftovers: list[str]
    """Half-written files and folders."""


def plan(kills: int, seed: int) -> list[tuple[Moment, float]]:
    """Moments in the order in which a run meets them, with delays; a single one is during a save."""
    chance = random.Random(seed)
    first: list[Stage] = ["start", "dataset"] if kills > 5 else []
    last: list[Stage] = ["test", "result"] if kills > 5 else []
    middle: Iterator[Stage] = cycle(("save", "evaluate", "compile", "train"))
    inner = [stage for stage, _ in zip(middle, range(kills - len(first) - len(last)), strict=False)]
    return [
        (Moment(stage, chance.randint(1, LATEST.get(stage, 1))), chance.uniform(0, LONGEST_DELAY[stage]))
        for stage in (*first, *inner, *last)
    ]


def kill_at(moment: Moment, delay: float, study: Study) -> Kill:
    """Start the run, and kill it at `moment`. Raises RuntimeError when it ends in another way."""
    began = time.perf_counter()
    run = subprocess.run(
        command(moment, delay, signal.SIGKILL, run_command(SAVE_ALWAYS)),
        cwd=study.data_root,
        env={**environment(), "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != -signal.SIGKILL:
        raise RuntimeError(f"{moment}: the run ended with {run.returncode}:\n{run.stdout}{run.stderr}")
    steps = finished_steps(tiny_folder(study).checkpoints)
    return Kill(moment, time.perf_counter() - began, max(steps, default=None), leftovers(study))


def leftovers(study: Study) -> list[str]:
    """Whatever in the study's runs and data is neither finished nor deleted."""
    found = [*study.checkpoints.rglob("*"), *(study.data_root / "data").rglob("*")]
    suffixes = (".tmp", ".partial", ".removed", ".replaced")
    return sorted(path.name for path in found if path.name.endswith(suffixes))


def differences(one: RunFolder, other: RunFolder) -> list[str]:
    """What two finished runs do not have alike, times aside."""
    found = []
    records = [json.loads(folder.result.read_text()) for folder in (one, other)]
    for record in records:
        # How a run is executed may change from one start to the next.
        del record["config"]["system"]
    for key in sorted({key for record in records for key in record} - CIRCUMSTANCES - {"learning_curve"}):
        if records[0].get(key) != records[1].get(key):
            found.append(f"result.json: {key}: {records[0].get(key)} and {records[1].get(key)}")
    metrics = [[_timeless(line) for line in read_jsonl(folder.metrics).records] for folder in (one, other)]
    if len(metrics[0]) != len(metrics[1]):
        found.append(f"metrics.jsonl: {len(metrics[0])} and {len(metrics[1])} lines")
    for number, (first, second) in enumerate(zip(*metrics, strict=False), start=1):
        if first != second:
            found.append(f"metrics.jsonl, line {number}: {first} and {second}")
    curves = [[_timeless(line) for line in record["learning_curve"]] for record in records]
    if curves[0] != curves[1]:
        found.append(f"result.json: learning_curve: {curves[0]} and {curves[1]}")
    outcomes = [_arrays(folder.test_outcomes) for folder in (one, other)]
    for name in sorted(outcomes[0].keys() | outcomes[1].keys()):
        if outcomes[0].get(name) != outcomes[1].get(name):
            found.append(f"test_outcomes.npz: {name}")
    names = [{path.name for path in folder.path.iterdir()} for folder in (one, other)]
    # A log is kept by the command line, not by `execute`.
    logs = {one.stdout.name, one.stderr.name}
    if odd := {name for name in names[0] ^ names[1] if not name.startswith("uncommitted")} - logs:
        found.append(f"files in one run folder alone: {sorted(odd)}")
    return found


def _arrays(path: Path) -> dict[str, list[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: array.tolist() for name, array in arrays.items()}


def _timeless(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "time" and not key.startswith("time/")}


def finish(study: Study) -> RunFolder:
    """Run to the end. Raises RuntimeError when the run fails or leaves something half-written."""
    done = trm(study.data_root, run_command(SAVE_ALWAYS))
    if done.returncode != 0:
        raise RuntimeError(f"trm run ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    if rubbish := leftovers(study):
        raise RuntimeError(f"a finished run left {rubbish}")
    return tiny_folder(study)


def main() -> int:
    """Exit status 0 when the killed run is the same as the other one."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        alone = finish(make_study(Path(temporary) / "alone"))
        study = make_study(Path(temporary) / "killed")
        print(f"{'kill':>4}  {'during':<10}{'seconds':>8}{'saved step':>12}  left half-written")
        for number, (moment, delay) in enumerate(plan(arguments.kills, arguments.seed), start=1):
            kill = kill_at(moment, delay, study)
            saved = "none" if kill.saved is None else str(kill.saved)
            rubbish = ", ".join(kill.leftovers) or "nothing"
            print(f"{number:>4}  {moment.stage:<10}{kill.seconds:>8.2f}{saved:>12}  {rubbish}", flush=True)
        found = differences(alone, finish(study))
        digest = json.loads(alone.result.read_text())["weights_sha256"]
    print("\n".join(found) if found else f"the same run as without kills: weights {digest[:16]}...")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
