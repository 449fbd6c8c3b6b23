"""Kill a run with SIGKILL again and again, resume it each time, and compare it with one left alone.

    python -m tests.faults.kill_and_resume --kills 10 --seed 0

A kill is aimed at a moment: the process is stopped when the moment comes, and killed if it still is
that moment (else it goes on). So a kill during a save leaves a half-written checkpoint, always.
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
from typing import Any, Literal

import numpy as np

from tests.run.tiny import (
    EVAL_EVERY,
    SAVE_ALWAYS,
    STEPS,
    TRM,
    environment,
    make_study,
    run_command,
    tiny_folder,
    trm,
)
from trm_scaling.checkpoint.folder import finished_steps
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study

Kind = Literal["dataset", "start", "compile", "train", "save", "evaluate", "test", "result"]

LONGEST_DELAY: dict[Kind, float] = {
    "dataset": 0.2,
    "start": 1.5,
    "compile": 0.6,
    "train": 0.03,
    "save": 0.01,
    "evaluate": 0.01,
    "test": 0.01,
    "result": 0.0,
}
"""Seconds: a kill comes up to this long after its moment began."""

CIRCUMSTANCES = {
    *("examples_per_s", "mfu", "peak_memory_bytes", "compile_s", "train_s", "eval_s", "checkpoint_s"),
    *("commit", "uncommitted_changes", "attempts", "failures"),
}
"""What may differ between two runs of the same result, beside the times in the metrics."""


@dataclass(frozen=True)
class Moment:
    """When to kill: at the first `kind` after step `after`, `delay` seconds into it."""

    kind: Kind
    after: int
    delay: float


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


def plan(kills: int, seed: int) -> list[Moment]:
    """Moments in the order in which a run meets them; a single one is during a save half-way."""
    chance = random.Random(seed)
    first: list[Kind] = ["dataset", "start"] if kills > 5 else []
    last: list[Kind] = ["test", "result"] if kills > 5 else []
    inner = kills - len(first) - len(last)
    kinds: Iterator[Kind] = cycle(("save", "evaluate", "compile", "train"))
    middle = [
        (kind, round(0.8 * STEPS * (i + chance.uniform(0.4, 0.9)) / inner))
        for i, kind in zip(range(inner), kinds, strict=False)
    ]
    moments = [*((kind, 0) for kind in first), *middle, *((kind, 0) for kind in last)]
    return [Moment(kind, after, chance.uniform(0, LONGEST_DELAY[kind])) for kind, after in moments]


def kill_at(moment: Moment, study: Study) -> Kill:
    """Start the run, and kill it at `moment`. Raises RuntimeError when the run ends before."""
    folder = tiny_folder(study)
    saved = max(finished_steps(folder.checkpoints), default=0)
    output = study.data_root / "output.txt"
    with output.open("w") as stream:
        process = subprocess.Popen(
            [TRM, *run_command(SAVE_ALWAYS)],
            cwd=study.data_root,
            env=environment(),
            stdout=stream,
            stderr=stream,
        )
    began = time.perf_counter()
    after = max(moment.after, saved + 1)
    delay = moment.delay
    while process.poll() is None:
        if _is_now(moment.kind, after, study, folder, output):
            time.sleep(delay)
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if process.poll() is None and _is_now(moment.kind, after, study, folder, output):
                process.kill()
                process.wait()
                seconds = time.perf_counter() - began
                steps = finished_steps(folder.checkpoints)
                return Kill(moment, seconds, max(steps, default=None), leftovers(study))
            process.send_signal(signal.SIGCONT)
            delay /= 2
        time.sleep(0.0005)
    raise RuntimeError(f"the run ended before {moment}:\n{output.read_text()}")


def _is_now(kind: Kind, after: int, study: Study, folder: RunFolder, output: Path) -> bool:
    match kind:
        case "start":
            return True
        case "dataset":
            return any(study.data_root.glob("data/.*.lock")) and not folder.metrics.exists()
        case "compile":
            return "compiling first" in output.read_text() and _newest(folder)[0] < after
        case "train":
            return "compiling first" in output.read_text() and _newest(folder)[0] >= after
        case "save":
            return any(int(path.stem) >= after for path in folder.checkpoints.glob("*.partial"))
        case "evaluate":
            step, what = _newest(folder)
            return step >= after and step % EVAL_EVERY == 0 and what == "train"
        case "test":
            return "testing on" in output.read_text() and not folder.finished
        case "result":
            tested = "testing on" in output.read_text() and folder.test_outcomes.exists()
            return tested and not folder.finished


def _newest(folder: RunFolder) -> tuple[int, str]:
    """Step and kind of the last whole line of the metrics."""
    lines = folder.metrics.read_bytes().splitlines() if folder.metrics.exists() else []
    if not lines:
        return 0, ""
    last = json.loads(lines[-1])
    return last["step"], last["kind"]


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
    if odd := {name for name in names[0] ^ names[1] if not name.startswith("uncommitted")}:
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
        for number, moment in enumerate(plan(arguments.kills, arguments.seed), start=1):
            kill = kill_at(moment, study)
            saved = "none" if kill.saved is None else str(kill.saved)
            rubbish = ", ".join(kill.leftovers) or "nothing"
            print(f"{number:>4}  {moment.kind:<10}{kill.seconds:>8.2f}{saved:>12}  {rubbish}", flush=True)
        found = differences(alone, finish(study))
        digest = json.loads(alone.result.read_text())["weights_sha256"]
    print("\n".join(found) if found else f"the same run as without kills: weights {digest[:16]}...")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
