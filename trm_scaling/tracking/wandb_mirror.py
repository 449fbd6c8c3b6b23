"""Copies a run to W&B from its `metrics.jsonl`: while it trains, as a process beside it, or afterwards.

Training knows nothing of this: the file is the record and W&B a copy of it, so a W&B that fails, hangs
or is killed costs the copy alone, and `rebuild` makes it good.

    python -m trm_scaling.tracking.wandb_mirror RUN_FOLDER GROUP

follows a run until its standard input ends. The trainer holds the other end of it open, so that it ends
with the run, and with the trainer in whatever way that dies.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

import trm_scaling
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.io.lease import take_lock
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.tracking.rows import Rows, Tail
from trm_scaling.tracking.wandb_run import (
    Sending,
    WandbFailed,
    WandbRun,
    chosen_mode,
    installed,
    open_run,
    run_id,
)

POLL_S = 1.0
LINGER_S = 300
"""A mirror that still runs so long after its run ended is killed. W&B's own limits are shorter."""


@dataclass(frozen=True)
class Progress:
    """`wandb/mirror.json`: how far a run's mirror came."""

    id: str
    mode: Sending
    logged_step: int
    """The last step handed to W&B's client, noted before it is: no step is handed over twice."""


@dataclass(frozen=True)
class Copied:
    """What came of copying."""

    where: str
    """The run's page, or the folder that holds it offline."""
    rows: int
    """Steps handed over this time."""
    broken_lines: int
    """Lines of `metrics.jsonl` that were no record, and were left out."""

    def __str__(self) -> str:
        broken = f", {self.broken_lines} broken lines left out" if self.broken_lines else ""
        return f"{self.rows} steps{broken}: {self.where}"


class InUse(UserError):
    """Another process is copying the run."""


def follow(folder: RunFolder, group: str, ended: Event) -> Copied | None:
    """Copy the run in `folder` until `ended`, from where the last mirror of it stopped.

    Online, where W&B's server stopped; offline, W&B's client begins another folder under the same id,
    which goes on after the last one. A server that cannot be had makes it offline. None: switched off.
    Waits for a mirror that is still at work on the run. Raises WandbFailed as `WandbRun` does.
    """
    with _alone(folder, wait=True):
        try:
            mode = chosen_mode()
            if mode == "disabled":
                return None
            run = open_run(folder, group, mode)
        except WandbFailed as error:
            print(f"{error}; going on offline, `trm sync` sends it later", flush=True)
            mode, run = "offline", open_run(folder, group, "offline")
        # What was handed over before may not have reached the server, which knows best what it has.
        after = run.last_step if mode == "online" else _offline_since(folder)
        return _copy(folder, run, mode, after, ended)


def rebuild(folder: RunFolder, group: str, mode: Sending) -> Copied:
    """Make the W&B run of `folder` complete: online with what the server lacks, offline from scratch.

    Raises InUse while another process copies the run, and WandbFailed as `open_run` and `WandbRun` do.
    """
    ended = Event()
    ended.set()
    with _alone(folder, wait=False):
        run = open_run(folder, group, mode)
        return _copy(folder, run, mode, run.last_step, ended)


def _copy(folder: RunFolder, run: WandbRun, mode: Sending, after: int, ended: Event) -> Copied:
    superseded = _offline_folders(folder, besides=Path(run.where)) if after < 0 or mode == "online" else []
    identity = run_id(folder)
    tail, rows, handed = Tail(folder.metrics), Rows(after), 0
    last_look = False
    while not last_look:
        last_look = ended.wait(POLL_S) or folder.finished
        ready = [row for record in tail.read() for row in rows.add(record)]
        if last_look:
            ready += rows.rest()
        if ready:
            write_json(_progress_file(folder), asdict(Progress(identity, mode, rows.last)))
        for row in ready:
            run.log(row)
        handed += len(ready)
    run.finish()
    for older in superseded:
        shutil.rmtree(older, ignore_errors=True)
    return Copied(run.where, handed, tail.broken)


def _offline_since(folder: RunFolder) -> int:
    """The last step that an earlier mirror of this very run handed over; -1 when there was none."""
    try:
        progress = Progress(**json.loads(_progress_file(folder).read_bytes()))
    except (OSError, ValueError, TypeError):
        return -1
    # Another id: the folder is a copy of another run's.
    return progress.logged_step if progress.id == run_id(folder) else -1


def _offline_folders(folder: RunFolder, besides: Path) -> list[Path]:
    """What earlier mirrors wrote offline, and this one hands over again."""
    return [path for path in (folder.path / "wandb").glob("offline-run-*") if path.name != besides.name]


def _progress_file(folder: RunFolder) -> Path:
    # Not in the run folder itself, where a starting trainer deletes the temporary files of the dead.
    return folder.path / "wandb" / "mirror.json"


@contextmanager
def _alone(folder: RunFolder, wait: bool) -> Iterator[None]:
    """Hold the right to write the W&B run of `folder`; the system takes it from a process that dies."""
    path = folder.path / "wandb" / "mirror.lock"
    path.parent.mkdir(exist_ok=True)
    with open(path, "w") as file:
        if not take_lock(file.fileno(), wait=wait):
            raise InUse(f"{folder.path} is being copied to W&B by another process; wait until it ends")
        yield


def _end_with_the_trainer(ended: Event) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass  # nobody writes; only the end counts
    ended.set()
    # Whatever hangs then, W&B's client included, ends by this signal's default: the process dies.
    signal.alarm(LINGER_S)


def main() -> None:
    """The follower's process. What it prints is `wandb.log`."""
    folder, group = RunFolder(Path(sys.argv[1])), sys.argv[2]
    os.nice(10)  # the cores are the training's
    os.environ.setdefault("WANDB_CACHE_DIR", str(folder.path))  # its logs then lie in wandb/, too
    ended = Event()
    Thread(target=_end_with_the_trainer, args=(ended,), daemon=True).start()
    try:
        print(follow(folder, group, ended) or "switched off", flush=True)
    except UserError as error:
        print(f"{error}; `trm sync` sends what is missing", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()


class Mirror:
    """A process that copies a run to W&B while it trains. Leaving the block tells it that the run ended.

    It then copies the rest, says how the run ended and ends by itself, within minutes even when W&B
    hangs. Nobody waits for it, and it outlives this process if it must.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        # Takes note of its end, so that it is not left a zombie where one process trains many runs.
        Thread(target=process.wait, daemon=True, name="wandb-mirror").start()

    def close(self) -> None:
        """Tell it that the run ended. Call it once `result.json` or `failure.json` is written."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def mirror_said() -> str:
    """Whether runs of this process are copied to W&B, and how to change that, on one line."""
    mode = os.environ.get("WANDB_MODE", "")
    if mode == "disabled":
        return "Weights & Biases: off (--no-wandb, or WANDB_MODE=disabled); metrics are in metrics.jsonl"
    if not installed():
        return "Weights & Biases: not installed (pip install '.[wandb]', then wandb login); see metrics.jsonl"
    return (
        f"Weights & Biases: mirrored {mode or 'online if logged in (wandb login), else offline'}; "
        "--no-wandb leaves it out, `trm sync` completes it"
    )


def start_mirror(folder: Path, group: str) -> Mirror | None:
    """Start copying the run in `folder`, which has its `config.yaml`, to the W&B group `group`.

    Returns at once, in milliseconds: W&B is neither imported nor asked here. None when its client is
    not installed (the extra `[wandb]`), or `WANDB_MODE=disabled`. A mirror that cannot be started is
    a warning and no more. What it has to say goes to `wandb.log` in the run folder.

    On several hosts, one of them calls this.
    """
    if os.environ.get("WANDB_MODE") == "disabled" or not installed():
        return None
    root = str(Path(trm_scaling.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    try:
        with open(folder / "wandb.log", "ab") as log:
            process = subprocess.Popen(
                # -P: this very package, whatever lies in the folder that the command was given in.
                [sys.executable, "-P", "-m", "trm_scaling.tracking.wandb_mirror", str(folder), group],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path},
                # Neither Ctrl-C nor the closing of the terminal reaches it.
                start_new_session=True,
            )
    except OSError as error:
        warnings.warn(f"no W&B mirror of {folder}: {error}", stacklevel=2)
        return None
    return Mirror(process)
