"""What each process of a Slurm job does: one `trm run`, which saves when Slurm says so.

A job that is preempted, whose time is nearly up, or that lost a process is queued again, and goes on from
the newest checkpoint.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from trm_scaling.errors import UserError
from trm_scaling.run.failure import EXIT_STATUS, is_lost

STOPPED = EXIT_STATUS["preempted"]

MOST_LOSSES = 3
"""How often a job is queued again since it lost a process."""

POLL_SECONDS = 0.2

PARTING_SECONDS = 90.0
"""How much earlier than the first process another one may find out that they cannot go on: longer than
`system.lost_host_seconds`."""


class SlurmRun:
    """What each process of a job does: one `trm run` to its end. submitit calls it, and keeps it in a file
    of its own between requeues.

    Slurm signals every process of a step: SIGTERM reaches the run itself, which saves and ends. SIGUSR2,
    which Slurm sends where it leaves a job time to save, comes here and is passed on as SIGTERM.
    """

    def __init__(self, command: Sequence[str], losses: int = 0) -> None:
        """`losses`: how often the job was queued again since it lost a process."""
        self.command = list(command)
        self.losses = losses
        self._lost = False

    def __call__(self) -> None:
        """Raises UserError when the run ends with another status than 0, unless somebody asked it to.

        Does not return when the job is queued again.
        """
        with _signals_noted() as noted:
            status = self._to_its_end(noted)
        if status == 0 or (status == STOPPED and not noted):
            return
        self._lost = is_lost(status) and not noted
        if (self._lost and self.losses < MOST_LOSSES) or (noted and (status == STOPPED or is_lost(status))):
            self._queue_again()
        if not _is_first():
            # Its end would end the first process too, which still writes down what came of the run.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(PARTING_SECONDS)
        again = f", and was queued again {self.losses} times before" if self.losses else ""
        raise UserError(f"`{shlex.join(self.command)}` ended with status {status}{again}")

    def checkpoint(self) -> Any:
        """submitit's question before a job is queued again: what it shall do then."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(SlurmRun(self.command, self.losses + self._lost))

    def _to_its_end(self, noted: list[int]) -> int:
        # Blocked signals stay so in a child, and SIGUSR2 would end it unsaved.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        child = subprocess.Popen(self.command)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        asked = False
        # Not child.wait(): nothing that a signal's handler needs may be held while one waits.
        while (status := child.poll()) is None:
            if signal.SIGUSR2 in noted and not asked:
                asked = True
                child.send_signal(signal.SIGTERM)
            time.sleep(POLL_SECONDS)
        return status

    def _queue_again(self) -> None:
        """End this process such that the job is queued again. Returns where that is another's to do, and
        it did not come to it."""
        if not _is_running():
            # Slurm ends the job already, and knows whether to queue it again.
            sys.exit(STOPPED)
        if _is_first():
            # submitit's answer to it: `checkpoint`, `scontrol requeue`, exit.
            signal.raise_signal(signal.SIGUSR2)


@contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """The signals that arrive during the block, which do nothing else."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGUSR2)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_first() -> bool:
    return os.environ.get("SLURM_PROCID", "0") == "0"


def _is_running() -> bool:
    """Whether Slurm has other plans with this job than to end it."""
    job = os.environ["SLURM_JOB_ID"]
    asked = subprocess.run(
        ["squeue", "--noheader", f"--jobs={job}", "--format=%T"], capture_output=True, text=True, check=False
    )
    # Slurm that does not answer is asked once more, by queueing again.
    return asked.returncode != 0 or asked.stdout.strip() == "RUNNING"
