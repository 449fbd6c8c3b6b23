"""`trm launch`: a run in several processes, here or elsewhere."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from trm_scaling.cli.options import (
    NoWandb,
    Overrides,
    Profile,
    Seed,
    StudyFolder,
    chosen_profile,
    complete_experiment,
)
from trm_scaling.cli.verbs import Verbs

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
    from trm_scaling.run.launch.local import LocalGang, virtual_devices
    from trm_scaling.run.planned import plan_run

    found, chosen = find_study(study), chosen_profile(profile, of_workers=True)
    fields = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    # Composed here too, so that what is wrong with it is said once.
    planned = plan_run(found, experiment, chosen, fields)
    command = [sys.executable, "-m", "trm_scaling", "run", experiment, *fields]
    command += ["--profile", chosen, "--study", str(found.path), *(["--no-wandb"] if no_wandb else [])]

    def log(index: int) -> Path:
        return found.process_logs / f"{experiment}-{index}.log"

    def note(text: str) -> None:
        typer.echo(text, err=True)

    devices = virtual_devices(devices_per_process, os.environ)
    grace = parting_seconds(planned.config.system)
    note(f"starting {processes} processes; process 0 speaks below, the others into {found.process_logs}")
    gang = LocalGang(command, processes, devices, log, note, grace)
    raise typer.Exit(gang.run(restarts))
