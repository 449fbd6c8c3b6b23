"""`trm launch slurm`: experiments as jobs of a Slurm cluster."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import PAPER, ClusterProfile, Experiments, NoWandb, StudyFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trm_scaling.io.study import Study
    from trm_scaling.run.planned import Run

HELP = """
Queue experiments on a Slurm cluster: one job each, several as an array. A job that is preempted, whose
time is up, or that loses a process saves what it can, is queued again, and goes on. Takes the extra
[slurm], and the study on a disk that all nodes see.

\b
Examples:
  trm launch slurm baseline --gpus-per-node 8 --partition gpu --dry-run
  trm launch slurm --pattern exp02b --profile smoke --at-once 2
  trm launch slurm exp06_f --nodes 4 --gpus-per-node 8 --minutes 720
"""


def slurm(
    names: Experiments = None,
    pattern: Annotated[
        list[str] | None, typer.Option(help="Names that contain it, or match it as a glob. Repeatable.")
    ] = None,
    profile: ClusterProfile = PAPER,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of each job.")] = 1,
    gpus_per_node: Annotated[int | None, typer.Option(min=1, help="GPUs on each.")] = None,
    cpus_per_task: Annotated[int | None, typer.Option(min=1, help="Cores on each.")] = None,
    minutes: Annotated[int, typer.Option(min=10, help="Time of each job; it is queued again after.")] = 24
    * 60,
    partition: Annotated[str | None, typer.Option(help="Slurm's partition.")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm's account.")] = None,
    qos: Annotated[str | None, typer.Option(help="Slurm's quality of service.")] = None,
    constraint: Annotated[str | None, typer.Option(help="Features that nodes must have.")] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Jobs that may run together.")] = 256,
    no_wandb: NoWandb = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be queued and stop.")] = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.cli.launch_tpu import checked_names
    from trm_scaling.run.launch.slurm import Cluster, parameters, submit

    found, chosen, overrides = checked_names(names or [], pattern or [], profile, study)
    cluster = Cluster(
        nodes=nodes,
        gpus_per_node=gpus_per_node,
        cpus_per_task=cpus_per_task,
        minutes=minutes,
        partition=partition,
        account=account,
        qos=qos,
        constraint=constraint,
        at_once=at_once,
    )
    options = [*overrides, "--profile", profile, "--study", str(found.path)]
    options += ["--no-wandb"] if no_wandb else []
    groups = _once_each(found, chosen, profile, overrides)
    called = [[run.config.name for run in group] for group in groups]
    commands = [[sys.executable, "-m", "trm_scaling", "run", same[0], *options] for same in called]
    if dry_run:
        for key, value in parameters(cluster, "trm").items():
            typer.echo(f"{key:<22} {value}")
        for command in commands:
            typer.echo(f"srun {' '.join(command)}")
        return
    jobs = submit(commands, cluster, "trm", found.job_logs)
    for group, own_names, job in zip(groups, called, jobs, strict=True):
        typer.echo(f"{job}  {', '.join(own_names)}")
        for run in group if len(group) > 1 else []:
            # So that the run is found under each of its names.
            run.place.claim()
    typer.echo(
        f"how they stand:          trm status\n"
        f"why one waits:           squeue --me\n"
        f"what one says:           {found.job_logs}/{jobs[0]}_0_log.out, and .err\n"
        f"save and stop one:       trm stop {called[0][0]}\n"
        f"end all, queued or not:  scancel {jobs[0].split('_')[0]}"
    )


def _once_each(
    study: "Study", names: "Sequence[str]", profile: str, overrides: "Sequence[str]"
) -> "list[list[Run]]":
    """The runs of those names, those that are one configuration together: one job trains it for all."""
    from trm_scaling.config.identity import identity
    from trm_scaling.run.planned import Planner

    planner = Planner(study, profile, overrides)
    groups: dict[str, list[Run]] = {}
    for name in names:
        run = planner.plan(name)
        groups.setdefault(identity(run.config), []).append(run)
    return list(groups.values())
