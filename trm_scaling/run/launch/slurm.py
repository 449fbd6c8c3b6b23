"""Runs as jobs of a Slurm cluster, through submitit: what is asked of the cluster, and what a job does.

One job an experiment, or an array of them. `srun` starts one process a node, which finds the others by
Slurm's own variables (`jax.distributed`). Before a job is preempted or its time is up, submitit sends its
process SIGUSR2: the run saves and ends, and the job is queued again.
"""

import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_scaling.errors import UserError
from trm_scaling.run.failure import EXIT_STATUS


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
    save_seconds: int = 120
    """Before the end at which a job is told to save."""


def parameters(cluster: Cluster, name: str) -> dict[str, Any]:
    """What submitit's Slurm executor is told, for jobs called `name`."""
    asked = {
        "job_name": name,
        "nodes": cluster.nodes,
        # One process drives all devices of its node.
        "ntasks_per_node": 1,
        "gpus_per_node": cluster.gpus_per_node,
        "cpus_per_task": cluster.cpus_per_task,
        "time": cluster.minutes,
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "constraint": cluster.constraint,
        "array_parallelism": cluster.at_once,
        "signal_delay_s": cluster.save_seconds,
        # A lost node ends the job, which Slurm then queues again.
        "srun_args": ["--kill-on-bad-exit=1"],
        "additional_parameters": {"requeue": True},
    }
    return {key: value for key, value in asked.items() if value is not None}


class SlurmRun:
    """What each process of a job does: one `trm run` to its end. submitit calls it, and keeps it in a file
    of its own between requeues."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self._child: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Raises UserError when the run ends with another status than 0."""
        # Slurm signals every process of a step; what submitit's process hears must not end the run unsaved.
        before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        self._child = subprocess.Popen(self.command)
        signal.signal(signal.SIGUSR2, before)
        status = self._child.wait()
        if status:
            raise UserError(f"`{' '.join(self.command)}` ended with status {status}")

    def save(self) -> int:
        """Ask the run to save, and wait for its end. Returns its exit status."""
        child = self._child
        assert child is not None, "submitit asks a job that has begun"
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        return child.wait()

    def checkpoint(self) -> Any:
        """submitit's question before a job is preempted or its time is up: what to queue instead. None:
        nothing, since the run ended for a reason of its own."""
        from submitit.helpers import DelayedSubmission

        status = self.save()
        if status not in (EXIT_STATUS["preempted"], EXIT_STATUS["lost_host"]):
            return None
        return DelayedSubmission(SlurmRun(self.command))


def submit(commands: Sequence[Sequence[str]], cluster: Cluster, name: str, logs: Path) -> list[str]:
    """Queue a job for each of `commands`, several as an array. Returns their identifiers.

    Raises UserError without submitit or without Slurm, and with Slurm's words when it refuses.
    """
    try:
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError
    except ModuleNotFoundError:
        raise UserError(
            "submitit is not installed: pip install -c requirements/constraints.txt -e '.[slurm]'"
        ) from None
    try:
        executor = SlurmExecutor(folder=logs)
        executor.update_parameters(**parameters(cluster, name))
        with executor.batch():
            jobs = [executor.submit(SlurmRun(command)) for command in commands]
    except (FailedJobError, RuntimeError, OSError) as error:
        raise UserError(
            f"Slurm took no job: {str(error).strip() or type(error).__name__}; see `sinfo` for partitions "
            "and their limits. Nothing was queued"
        ) from error
    return [job.job_id for job in jobs]
