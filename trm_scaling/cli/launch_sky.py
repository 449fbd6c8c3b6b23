"""`trm launch sky`: a study as a managed job of SkyPilot."""

import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from trm_scaling.cli.launch import app, composed, note
from trm_scaling.cli.launch_tpu import DryRun, InTurn
from trm_scaling.cli.options import PAPER, ClusterProfile, NoWandb
from trm_scaling.errors import UserError

HELP = """
Queue experiments as a managed job of SkyPilot: GPUs of any cloud, Kubernetes and TPUs alike. SkyPilot starts
it again after a preemption, and it goes on from the study's bucket. With --dry-run the job's YAML is printed
and checked by the SkyPilot that is installed (on its own: uv tool install 'skypilot[gcp]').

\b
Examples:
  trm launch sky baseline --device H100:8 --study gs://mine/kellen --dry-run
  trm launch sky exp01a exp01b --device v6e-16 --study gs://mine/kellen
"""


@app.command("sky", help=HELP, short_help="As a managed job of SkyPilot.")
def sky(
    experiments: InTurn,
    device: Annotated[str, typer.Option(help="GPUs, as in H100:8, or a TPU type, as in v6e-16.")],
    study: Annotated[
        Path, typer.Option("--study", help="The study's bucket: gs://... or s3://...", envvar="TRM_STUDY")
    ],
    name: Annotated[str, typer.Option(help="Name of the job.")] = "trm",
    infra: Annotated[
        str | None, typer.Option(help="Cloud, as in gcp/us-east1 or k8s.", show_default="the cheapest")
    ] = None,
    spot: Annotated[bool, typer.Option(help="Spot machines, which cost less and are preempted.")] = True,
    profile: ClusterProfile = PAPER,
    no_wandb: NoWandb = False,
    dry_run: DryRun = False,
) -> None:
    from trm_scaling.io.bucket import bucket_url
    from trm_scaling.io.study import nearest_study
    from trm_scaling.run.launch.sky import Job, chips_of, launch_command, text_of, validate
    from trm_scaling.run.launch.tpu_types import refuse_uneven

    url = bucket_url(study)
    if url is None:
        raise UserError(
            f"--study={study} is no bucket: machines that come and go need one, gs://... or s3://..."
        )
    found, runs, _ = composed(experiments, None, profile, nearest_study().path)
    refuse_uneven(device, chips_of(device), [run.config for run in runs])
    job = Job(
        name, tuple(experiments), profile, url, str(found.data_root), device, spot, infra, wandb=not no_wandb
    )
    with tempfile.TemporaryDirectory(prefix="trm-sky-") as folder:
        file = Path(folder) / f"{name}.yaml"
        file.write_text(text_of(job))
        command = launch_command(job, str(file))
        if dry_run:
            typer.echo(f"{text_of(job)}\n# {shlex.join(launch_command(job, f'{name}.yaml'))}")
            note(f"SkyPilot {validate(file)} takes it. Nothing was started")
            return
        validate(file)
        done = subprocess.run(command, check=False)
    if done.returncode:
        raise UserError(
            f"`{shlex.join(command)}` ended with status {done.returncode}; `sky check` shows which clouds"
        )
    typer.echo(
        f"how it stands:     sky jobs queue, or trm status --study {url}\n"
        f"what it says:      sky jobs logs --name {name}\n"
        f"end it:            sky jobs cancel --name {name}\n"
        "The controller of managed jobs costs a little until it is ended: sky status shows it."
    )
