"""`trm launch local` and `trm launch slurm`: runs in several processes here, or as jobs of a cluster."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import (
    PAPER,
    ClusterProfile,
    Experiments,
    NoWandb,
    Overrides,
    Pattern,
    Profile,
    Seed,
    StudyFolder,
    chosen_names,
    chosen_profile,
    complete_experiment,
    parted,
)
from trm_scaling.cli.verbs import Verbs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trm_scaling.io.study import Study
    from trm_scaling.run.planned import Run

app = typer.Typer(
    cls=Verbs, help="Run an experiment in several processes, here or elsewhere.", no_args_is_help=True
)

LOCAL_HELP = """
Train one experiment in several processes of this machine, each with virtual devices of the CPU: the same
program that runs on a pod, to try it out. A process that is lost ends the others, and all start again
from the newest checkpoint. (One process already uses all accelerators of a machine: `trm run`.)

\b
Examples:
  trm launch local baseline --profile smoke
  trm launch local exp01a --processes 4 --devices-per-process 2
"""


@app.command("local", help=LOCAL_HELP, short_help="In several processes of this machine.")
def local(
    experiment: Annotated[
        str, typer.Argument(help="Name in the study, e.g. baseline.", autocompletion=complete_experiment)
    ],
    overrides: Overrides = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes to start.")] = 2,
    devices_per_process: Annotated[int, typer.Option(min=1, help="Virtual devices of each.")] = 1,
    restarts: Annotated[int, typer.Option(min=0, help="Times to start again after a loss.")] = 3,
    profile: Profile = None,
    seed: Seed = None,
    no_wandb: NoWandb = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.io.study import find_study
    from trm_scaling.parallel.hosts import parting_seconds
    from trm_scaling.run.launch.supervisor import run_gang, virtual_devices
    from trm_scaling.run.planned import plan_run

    found, chosen = find_study(study), chosen_profile(profile, of_workers=True)
    fields = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    # Composed here too, so that what is wrong with it is said once.
    planned = plan_run(found, experiment, chosen, fields)

    def log(index: int) -> Path:
        return found.process_logs / f"{experiment}-{index}.log"

    command = run_command(found, experiment, fields, chosen, no_wandb)
    devices = virtual_devices(devices_per_process, os.environ)
    grace = parting_seconds(planned.config.system)
    note(f"starting {processes} processes; process 0 speaks below, the others into {found.process_logs}")
    raise typer.Exit(run_gang(command, processes, devices, log, note, grace, restarts))


SLURM_HELP = """
Queue experiments on a Slurm cluster: one job each, several as an array. A job that is preempted, whose
time is up, or that loses a process saves what it can, is queued again, and goes on. Takes the extra
[slurm], and the study on a disk that all nodes see.

\b
Examples:
  trm launch slurm baseline --gpus-per-node 8 --partition gpu --dry-run
  trm launch slurm --pattern exp02b --profile smoke --at-once 2
  trm launch slurm exp06_f --nodes 4 --gpus-per-node 8 --minutes 720
"""


@app.command("slurm", help=SLURM_HELP, short_help="As jobs of a Slurm cluster.")
def slurm(
    names: Experiments = None,
    pattern: Pattern = None,
    profile: ClusterProfile = PAPER,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of each job.")] = 1,
    gpus_per_node: Annotated[int | None, typer.Option(min=1, help="GPUs on each.")] = None,
    cpus_per_task: Annotated[int | None, typer.Option(min=1, help="Cores on each.")] = None,
    minutes: Annotated[int, typer.Option(min=10, help="Time of each job; it is queued again after.")] = 1440,
    partition: Annotated[str | None, typer.Option(help="Slurm's partition.")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm's account.")] = None,
    qos: Annotated[str | None, typer.Option(help="Slurm's quality of service.")] = None,
    constraint: Annotated[str | None, typer.Option(help="Features that nodes must have.")] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Jobs that may run together.")] = 256,
    no_wandb: NoWandb = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be queued and stop.")] = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.config.identity import identity
    from trm_scaling.run.launch.slurm import Cluster, parameters, submit

    found, runs, overrides = composed(names, pattern, profile, study)
    cluster = Cluster(
        nodes, gpus_per_node, cpus_per_task, minutes, partition, account, qos, constraint, at_once
    )
    groups: dict[str, list[Run]] = {}
    for run in runs:
        # Experiments of one configuration are one job, which trains it for all.
        groups.setdefault(identity(run.config), []).append(run)
    called = [[run.config.name for run in group] for group in groups.values()]
    commands = [run_command(found, same[0], overrides, profile, no_wandb) for same in called]
    if dry_run:
        for key, value in parameters(cluster, "trm").items():
            typer.echo(f"{key:<22} {value}")
        for command in commands:
            typer.echo(f"srun {' '.join(command)}")
        return
    jobs = submit(commands, cluster, "trm", found.job_logs)
    for group, own_names, job in zip(groups.values(), called, jobs, strict=True):
        typer.echo(f"{job}  {', '.join(own_names)}")
        for run in group if len(group) > 1 else []:
            # So that the run is found under each of its names.
            run.path.claim()
    typer.echo(
        f"how they stand:          trm status\n"
        f"why one waits:           squeue --me\n"
        f"what one says:           {found.job_logs}/{jobs[0]}_0_log.out, and .err\n"
        f"save and stop one:       trm stop {called[0][0]}\n"
        f"end all, queued or not:  scancel {jobs[0].split('_')[0]}"
    )


def composed(
    texts: "Sequence[str] | None", patterns: "Sequence[str] | None", profile: str, study: Path | None
) -> "tuple[Study, list[Run], list[str]]":
    """The study, the experiments that were named and the overrides. Each is composed here, so that what is
    wrong is said before a machine elsewhere is touched."""
    from trm_scaling.experiments.catalogue import load_catalogue
    from trm_scaling.io.study import find_study
    from trm_scaling.run.planned import Planner

    found = find_study(study)
    names, overrides = parted(texts)
    planner = Planner(found, profile, overrides)
    chosen = chosen_names(load_catalogue(found.path), names, patterns)
    return found, [planner.plan(name) for name in chosen], overrides


def run_command(
    study: "Study", name: str, overrides: "Sequence[str]", profile: str, no_wandb: bool
) -> list[str]:
    """`trm run` for a process elsewhere."""
    options = ["--profile", profile, "--study", str(study.path), *(["--no-wandb"] if no_wandb else [])]
    return [sys.executable, "-m", "trm_scaling", "run", name, *overrides, *options]


def note(text: str) -> None:
    """A line on standard error."""
    typer.echo(text, err=True)
