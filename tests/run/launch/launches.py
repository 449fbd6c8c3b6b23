"""A launch, and a shell that runs its scripts as a worker would."""

import os
import subprocess
from pathlib import Path

from trm_scaling.run.launch.tpu_vm import Launch, Pod, Session, Step

LAUNCH = Launch(
    session=Session(Pod("stable-1", "us-central2-b")),
    repository="/code/trm",
    commit="0123456789abcdef0123456789abcdef01234567",
    shared="/mnt/trm",
    experiments=("baseline", "exp01a", "lr=3e-4"),
    profile="paper",
    restarts=3,
    token="5eed",
)


def script_of(step: Step) -> str:
    return next(word for word in step.command if word.startswith("--command=")).removeprefix("--command=")


def shell(step: Step, home: Path) -> "subprocess.CompletedProcess[str]":
    """A step's script, run by a shell as a worker would, in that home."""
    return subprocess.run(
        ["sh", "-c", script_of(step)],
        cwd=home,
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
