"""`trm launch tpu-vm` and what belongs to it: bring a run to a TPU pod, look after it, fetch its results."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import StudyFolder
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.io.study import Study
    from trm_scaling.run.launch.tpu_vm import Launch, Pod, Step

V4_ZONE = "us-central2-b"
"""The one that has v4 pods."""

Tpu = Annotated[str, typer.Option("--tpu", help="Name of the TPU VM, e.g. stable-1.")]
Zone = Annotated[str, typer.Option(help="Its zone.")]
Project = Annotated[str | None, typer.Option(help="Its project.", show_default="gcloud's own")]
Shared = Annotated[
    str, typer.Option(help="Folder that all workers see under this path: a mounted share or bucket.")
]
Session = Annotated[str, typer.Option(help="Name of the tmux session on every worker.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the commands and stop.")]

TPU_HELP = """
Bring experiments to a TPU pod and start them on all its workers: the code of one commit, an environment
with the extra [tpu], a tmux session that outlives this connection. Then follow worker 0; Ctrl-C ends the
following, not the run.

\b
Examples:
  trm launch tpu-vm baseline --tpu stable-1 --shared /mnt/trm --dry-run
  trm launch tpu-vm exp01a exp01b --tpu stable-1 --shared /mnt/trm
"""


def tpu_vm(
    experiments: Annotated[
        list[str], typer.Argument(metavar="NAME... [KEY=VALUE]...", help="One after another.")
    ],
    tpu: Tpu,
    shared: Shared,
    zone: Zone = V4_ZONE,
    project: Project = None,
    commit: Annotated[str, typer.Option(help="Code to run.")] = "HEAD",
    profile: Annotated[str, typer.Option(help="Budget: smoke, laptop, h200, paper.")] = "paper",
    restarts: Annotated[int, typer.Option(min=0, help="Times to start again after a lost host.")] = 3,
    session: Session = "trm",
    follow: Annotated[bool, typer.Option(help="Show what worker 0 says.")] = True,
    dry_run: DryRun = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.run.launch import pod as pods
    from trm_scaling.run.launch import tpu_vm as text
    from trm_scaling.run.launch.tpu_vm import Launch, Pod

    checked_names(experiments, [], profile, study)
    pod = Pod(tpu, zone, project)
    launch = Launch(pod, _commit(commit), shared.rstrip("/"), tuple(experiments), profile, restarts, session)
    if dry_run:
        for step in (*text.steps(launch, launch.archive), text.follow(launch)):
            typer.echo(f"# {step.purpose}\n{step}\n")
        typer.echo(_afterwards(launch))
        return
    with tempfile.TemporaryDirectory(prefix="trm-launch-") as folder:
        pods.bring(launch, Path(folder) / launch.archive, _note)
    typer.echo(_afterwards(launch))
    if follow:
        _watch(text.follow(launch))


def health(tpu: Tpu, zone: Zone = V4_ZONE, project: Project = None, dry_run: DryRun = False) -> None:
    from trm_scaling.run.launch import pod as pods
    from trm_scaling.run.launch import tpu_vm as text
    from trm_scaling.run.launch.tpu_vm import Pod

    pod = Pod(tpu, zone, project)
    if dry_run:
        typer.echo(text.health(pod))
        return
    workers = pods.ready_workers(pod, _note)
    typer.echo(f"{tpu} is READY with {workers} worker{'' if workers == 1 else 's'}")
    _watch(text.health(pod))


def stop(
    tpu: Tpu,
    zone: Zone = V4_ZONE,
    project: Project = None,
    session: Session = "trm",
    now: Annotated[bool, typer.Option("--now", help="End it at once, saving nothing.")] = False,
    dry_run: DryRun = False,
) -> None:
    from trm_scaling.run.launch import tpu_vm as text
    from trm_scaling.run.launch.tpu_vm import Pod

    pod = Pod(tpu, zone, project)
    _each([text.end(pod, session) if now else text.stop(pod, session)], pod, dry_run)


def fetch(
    tpu: Tpu,
    shared: Shared,
    zone: Zone = V4_ZONE,
    project: Project = None,
    dry_run: DryRun = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.io.study import find_study
    from trm_scaling.run.launch import tpu_vm as text
    from trm_scaling.run.launch.tpu_vm import Pod, Step

    found, pod, archive = find_study(study), Pod(tpu, zone, project), "trm-results.tar.gz"
    with tempfile.TemporaryDirectory(prefix="trm-fetch-") as folder:
        here = archive if dry_run else str(Path(folder) / archive)
        place = Step("place them in the study", ("tar", "-xzf", here, "-C", str(found.path)))
        packed = text.pack_results(pod, shared.rstrip("/"), archive)
        _each([packed, text.fetch_results(pod, archive, here), place], pod, dry_run)


WORKER_HELP = """
What each worker of a pod runs: experiments one after another, each again from its newest checkpoint when a
host was lost. Ends with the first exit status that is not 0.

\b
Examples:
  trm launch worker exp01a exp01b --profile paper --restarts 3
"""


def worker(
    experiments: Annotated[
        list[str], typer.Argument(metavar="NAME... [KEY=VALUE]...", help="One after another.")
    ],
    profile: Annotated[str, typer.Option(help="Budget: smoke, laptop, h200, paper.")] = "paper",
    restarts: Annotated[int, typer.Option(min=0, help="Times to start again after a lost host.")] = 3,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.run.launch.worker import run_all

    found, names, overrides = checked_names(experiments, [], profile, study)
    options = [*overrides, "--profile", profile, "--study", str(found.path)]
    commands = [[sys.executable, "-m", "trm_scaling", "run", name, *options] for name in names]
    raise typer.Exit(run_all(commands, restarts, _note))


def add_to(app: typer.Typer) -> None:
    """Register the verbs under `trm launch`."""
    app.command("tpu-vm", help=TPU_HELP, short_help="On all workers of a TPU pod.")(tpu_vm)
    app.command("health", help="Ask Google Cloud how a TPU pod is.", short_help="How a pod is.")(health)
    app.command("stop", help="Save and stop what runs on a TPU pod.", short_help="Save and stop on a pod.")(
        stop
    )
    app.command(
        "fetch",
        help="Bring results of a TPU pod into this study; checkpoints stay.",
        short_help="Results of a pod into this study.",
    )(fetch)
    app.command("worker", help=WORKER_HELP, short_help="What each worker of a pod runs.")(worker)


def checked_names(
    experiments: list[str], patterns: list[str], profile: str, study: Path | None
) -> "tuple[Study, list[str], list[str]]":
    """The study, the names of experiments and the overrides, each experiment composed here, so that what is
    wrong is said before a machine elsewhere is touched."""
    from trm_scaling.experiments.catalogue import load_catalogue
    from trm_scaling.io.study import find_study
    from trm_scaling.run.planned import Planner

    found = find_study(study)
    catalogue = load_catalogue(found.path)
    names = [text for text in experiments if "=" not in text]
    overrides = [text for text in experiments if "=" in text]
    catalogue.check(names)
    names = list(dict.fromkeys([*names, *(catalogue.matching(patterns) if patterns else [])]))
    if not names:
        raise UserError("nothing to run: name an experiment, e.g. baseline")
    planner = Planner(found, profile, overrides)
    for name in names:
        planner.plan(name)
    return found, names, overrides


def _commit(name: str) -> str:
    import subprocess

    asked = subprocess.run(
        ["git", "rev-parse", "--verify", f"{name}^{{commit}}"], capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        raise UserError(
            f"{name} is no commit of the checkout here: change into the repository, or name one with --commit"
        )
    return asked.stdout.strip()


def _afterwards(launch: "Launch") -> str:
    pod, where = launch.pod, f"--tpu {launch.pod.name} --zone {launch.pod.zone}"
    where += f" --project {pod.project}" if pod.project else ""
    session = "" if launch.session == "trm" else f" --session {launch.session}"
    return (
        f"It runs on in tmux session {launch.session} of every worker.\n"
        f"  save and stop:   trm launch stop {where}{session}\n"
        f"  end at once:     trm launch stop {where}{session} --now\n"
        f"  fetch results:   trm launch fetch {where} --shared {launch.shared}\n"
        "The pod itself costs until it is deleted: gcloud compute tpus tpu-vm delete "
        f"{pod.name} --zone={pod.zone}"
    )


def _each(steps: "list[Step]", pod: "Pod", dry_run: bool) -> None:
    from trm_scaling.run.launch.pod import run_step

    for step in steps:
        if dry_run:
            typer.echo(f"# {step.purpose}\n{step}\n")
        else:
            run_step(step, pod, _note)


def _watch(step: "Step") -> None:
    """Show what a command says; Ctrl-C ends it and nothing else."""
    import subprocess

    try:
        subprocess.run(step.command, check=False)
    except KeyboardInterrupt:
        typer.echo("no longer following; the run goes on", err=True)


def _note(text: str) -> None:
    typer.echo(text, err=True)
