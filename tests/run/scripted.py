"""A worker that plays a part instead of training, so that a batch's decisions are tested in seconds.

    python -m tests.run.scripted FOLDER[:FOLDER...] ACT[,ACT...] [system.micro_batch_size=N ...]

The first attempt at a run plays the first act, the second the next; the last act is repeated. Of several
folders, as of runs that train together, one is played after another.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from trm_scaling.io import lease
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.attempts import FailureClass, begin_attempt, end_attempt, read_attempts

ROOT = Path(__file__).resolve().parents[2]
KERNEL_KILLS = "kernel_kills"
"""A file in the study's folder that stands in for the kernel's counter."""

MICRO_BATCH_SIZE = 16


class Asked(Exception):
    """SIGTERM came."""


def command_of(scripts: dict[int, str], default: str = "finish") -> Callable[..., list[str]]:
    """What a worker executes: the acts in `scripts` by seed."""

    def command(job) -> list[str]:
        acts = scripts.get(job.seed, default)
        return [sys.executable, "-m", "tests.run.scripted", str(job.folder.path), acts, *job.smaller]

    return command


def play(folder: RunFolder, acts: Sequence[str], overrides: Sequence[str]) -> int:
    """Play the act whose turn it is (the folder's file `acts` says others than `acts`); the exit status."""
    own = folder.path / "acts"
    acts = own.read_text().split(",") if own.exists() else acts
    act, _, argument = acts[min(len(read_attempts(folder.attempts)), len(acts) - 1)].partition(":")
    if act == "broken_install":
        print("Traceback (most recent call last):\nModuleNotFoundError: no module", file=sys.stderr)
        return 1
    if act == "in_use":
        marker = folder.path / "was_in_use"
        if not marker.exists():
            marker.touch()
            print(f"error: {folder.path} is in use", file=sys.stderr)
            return 69
        act = acts[1]
    sizes = [text.partition("=")[2] for text in overrides if text.startswith("system.micro_batch_size=")]
    with folder.lock():
        number = begin_attempt(folder.attempts, int(sizes[-1]) if sizes else MICRO_BATCH_SIZE)
        print(f"attempt {number} plays {act}", flush=True)
        try:
            return _act(folder, number, act, argument)
        except Asked:
            return _fail(folder, number, "preempted", "stopped by SIGTERM", 75)


def _act(folder: RunFolder, number: int, act: str, argument: str) -> int:
    match act:
        case "finish":
            time.sleep(float(argument or 0))
            folder.result.write_text(json.dumps({"steps": 60}))
            end_attempt(folder.attempts, number, "finished", "")
            return 0
        case "save_and_die":
            (folder.checkpoints / f"{number:08d}").mkdir(parents=True)
            os.kill(os.getpid(), signal.SIGKILL)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "die_of_memory":
            counter = folder.path.parents[3] / KERNEL_KILLS
            counter.write_text(f"oom_kill {int(counter.read_text().split()[1]) + 1}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        case "abort":
            print(argument, file=sys.stderr, flush=True)
            os.abort()
        case "hang":
            while True:
                time.sleep(60)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("deaf now", flush=True)
            while True:
                time.sleep(60)
        case "lie":
            end_attempt(folder.attempts, number, "finished", "")
            return 0
        case "preempted":
            return _fail(folder, number, "preempted", "stopped by SIGTERM", 75)
        case "lost_host":
            return _fail(folder, number, "lost_host", "process 1 has given no sign of life for 31 s", 68)
        case "configuration":
            return _fail(folder, number, "configuration", "the dataset is poisoned", 2)
        case "disk":
            return _fail(folder, number, "disk", "no space left on the disk", 74)
        case "disk_so_full_that_it_cannot_say_so":
            print("error: no space left on the disk", file=sys.stderr)
            return 74
        case "non_finite":
            return _fail(folder, number, "non_finite", "the loss is nan at step 7", 65)
        case "other":
            return _fail(folder, number, "other", "nobody foresaw this", 70)
        case "out_of_memory":
            return _fail(folder, number, "out_of_memory", "RESOURCE_EXHAUSTED: 1 GB wanted", 71)
    raise ValueError(act)


def _fail(folder: RunFolder, number: int, failure: FailureClass, message: str, status: int) -> int:
    folder.failure.write_text(json.dumps({"failure": failure, "message": message, "traceback": "mine"}))
    asked = (folder.path / "stop").exists()
    end_attempt(folder.attempts, number, "stopped" if asked else failure, message)
    print(f"error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":

    def asked(*_: object) -> None:
        raise Asked

    signal.signal(signal.SIGTERM, asked)
    lease.BEAT_SECONDS = 0.1
    folders = [RunFolder(Path(path)) for path in sys.argv[1].split(":")]
    sys.exit(max(play(folder, sys.argv[2].split(","), sys.argv[3:]) for folder in folders))
