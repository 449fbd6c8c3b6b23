"""Runs as jobs of a Slurm cluster, through submitit: what is asked of the cluster.

One job an experiment, or an array of them. `srun` starts one process a node, which finds the others by
Slurm's own variables (`jax.distributed`). What each does is in `slurm_job`.
"""

import io
import shutil
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_scaling.errors import UserError
from trm_scaling.run.launch.slurm_job import SlurmRun

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
