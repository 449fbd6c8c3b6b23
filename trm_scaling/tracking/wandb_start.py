"""The trainer's side of the W&B mirror: starts it, and lets go of it."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

import trm_scaling
from trm_scaling.tracking.wandb_run import installed


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
