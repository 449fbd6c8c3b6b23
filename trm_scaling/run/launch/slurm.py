"""Runs as jobs of a Slurm cluster, through submitit: what is asked for, and what a job does."""

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGTERM, SIGUSR2
from typing import Any

from trm_scaling.errors import UserError
from trm_scaling.run.failure import is_lost
from trm_scaling.run.launch.supervisor import MOST_LOSSES, STOPPED, Process, Supervisor
from trm_scaling.run.signals import handled

SAVE_SECONDS = 120
"""Before the end of a job's time at which it is told to save."""

MOST_TIMES = 200
"""How often a job may run out of its time and be queued again."""


@dataclass(frozen=True)
class Cluster:
    """What each job asks for. None: the cluster's own default."""

    nodes: int = 1
    gpus_per_node: int | None = None
    cpus_per_task: int | None = None
    minutes: int = 24 * 60
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    at_once: int = 256
    """Jobs of an array that may run together."""


def parameters(cluster: Cluster, name: str) -> dict[str, Any]:
    """What submitit's Slurm executor is told, for jobs called `name`."""
    own = asdict(cluster)
    asked = {
        "job_name": name,
        # One process drives all devices of its node.
        "ntasks_per_node": 1,
        "time": own.pop("minutes"),
        "array_parallelism": own.pop("at_once"),
        **own,
        "signal_delay_s": SAVE_SECONDS,
        # A process that fails takes the others with it.
        "srun_args": ["--kill-on-bad-exit=1"],
        "additional_parameters": {"requeue": True},
    }
    return {key: value for key, value in asked.items() if value is not None}


def submit(commands: Sequence[Sequence[str]], cluster: Cluster, name: str, logs: Path) -> list[str]:
    """Queue a job for each of `commands`, several as an array. Returns their identifiers.

    What job J says is in `logs`, `J_0_log.out` and `J_0_log.err`. Raises UserError without submitit or
    without Slurm, and with Slurm's words when it refuses.
    """
    try:
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError
    except ModuleNotFoundError:
        raise UserError(
            "submitit is not installed: pip install -c requirements/constraints.txt -e '.[slurm]'"
        ) from None
    missing = [tool for tool in ("sbatch", "srun") if shutil.which(tool) is None]
    if missing:
        raise UserError(
            f"there is no {' and no '.join(missing)} on this machine: log in to one that submits to the "
            "cluster, or use --dry-run to see what would be queued. Nothing was queued"
        )
    executor = SlurmExecutor(folder=logs, max_num_timeout=MOST_TIMES)
    executor.update_parameters(**parameters(cluster, name))
    try:
        # submitit prints what it also raises.
        with redirect_stderr(io.StringIO()), executor.batch():
            jobs = [executor.submit(SlurmRun(command)) for command in commands]
    except FailedJobError as error:
        said = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
        raise UserError(
            f"Slurm took no job: {said or 'sbatch failed without a word'}. `sinfo` shows partitions and "
            "their limits, `sacctmgr show associations user=$USER` what you may ask for. Nothing was queued"
        ) from error
    except OSError as error:
        raise UserError(
            f"could not write what the jobs are to run into {logs}: {error}. What was queued is in "
            f"`squeue --me --name={name}`, and `scancel --me --name={name}` ends it"
        ) from error
    return [job.job_id for job in jobs]


PARTING_SECONDS = 90.0
"""How long a process waits for the first one to write down why they cannot go on: longer than
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
        # SIGTERM has reached the run already.
        supervisor = Supervisor(lambda _: None, lambda came, _: SIGTERM if came == SIGUSR2 else None)
        with handled(supervisor.hear, SIGTERM, SIGUSR2):
            status = supervisor.run(self._start, 0)
        noted = supervisor.requests
        if status == 0 or (status == STOPPED and not noted):
            return
        self._lost = is_lost(status) and not noted
        if (self._lost and self.losses < MOST_LOSSES) or (noted and (status == STOPPED or is_lost(status))):
            self._queue_again()
        if not _is_first():
            # Its end would end the first process too, which still writes down what came of the run.
            signal.signal(SIGTERM, signal.SIG_DFL)
            time.sleep(PARTING_SECONDS)
        again = f", and was queued again {self.losses} times before" if self.losses else ""
        raise UserError(f"`{shlex.join(self.command)}` ended with status {status}{again}")

    def checkpoint(self) -> Any:
        """submitit's question before a job is queued again: what it shall do then."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(SlurmRun(self.command, self.losses + self._lost))

    def _start(self, files: ExitStack) -> list[Process]:
        # Blocked signals stay so in a child, and SIGUSR2 would end it unsaved.
        signal.pthread_sigmask(signal.SIG_BLOCK, {SIGUSR2})
        child = subprocess.Popen(self.command)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGUSR2})
        return [child]

    def _queue_again(self) -> None:
        """End this process such that the job is queued again. Returns where that is another's to do, and
        it did not come to it."""
        if not _is_running():
            # Slurm ends the job already, and knows whether to queue it again.
            sys.exit(STOPPED)
        if _is_first():
            # submitit's answer to it: `checkpoint`, `scontrol requeue`, exit.
            signal.raise_signal(SIGUSR2)


def _is_first() -> bool:
    return os.environ.get("SLURM_PROCID", "0") == "0"


def _is_running() -> bool:
    """Whether Slurm has other plans with this job than to end it."""
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_TASK_ID" in os.environ:
        # One job of an array has the number of the array, by which Slurm would list them all.
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    asked = subprocess.run(
        ["squeue", "--noheader", f"--jobs={job}", "--format=%T"], capture_output=True, text=True, check=False
    )
    # Slurm that does not answer is asked once more, by queueing again.
    return asked.returncode != 0 or asked.stdout.strip() == "RUNNING"
