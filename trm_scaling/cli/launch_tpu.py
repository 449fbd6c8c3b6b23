"""`trm launch tpu-vm` and what belongs to it: bring a run to a TPU pod, look after it, fetch its results."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import PAPER, ClusterProfile, NoWandb, StudyFolder, complete_experiment
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.io.study import Study
    from trm_scaling.run.launch.commit import Sent
    from trm_scaling.run.launch.tpu_vm import Session, Step
    from trm_scaling.run.planned import Run

V4_ZONE = "us-central2-b"
"""The one that has v4 pods."""

InTurn = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME... [KEY=VALUE]...", help="One after another.", autocompletion=complete_experiment
    ),
]
Tpu = Annotated[str, typer.Option("--tpu", help="Name of the TPU VM, e.g. stable-1.")]
Zone = Annotated[str, typer.Option(help="Its zone.")]
Project = Annotated[str | None, typer.Option(help="Its project.", show_default="gcloud's own")]
Shared = Annotated[
    str, typer.Option(help="Folder that all workers see under this path: a mounted NFS share.")
]
SessionName = Annotated[str, typer.Option("--session", help="Name of the tmux session on every worker.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the commands and stop.")]

TPU_HELP = """
Bring experiments to a TPU pod and start them on all its workers: the code of one commit, an environment
with the extras [tpu,wandb], a tmux session that outlives this connection. Then follow worker 0, and
end with the run's exit status; Ctrl-C ends the following, not the run.

\b
Examples:
  trm launch tpu-vm baseline --tpu stable-1 --shared /mnt/trm --dry-run
  trm launch tpu-vm exp01a exp01b --tpu stable-1 --shared /mnt/trm
"""


def tpu_vm(
    experiments: InTurn,
    tpu: Tpu,
    shared: Shared,
    zone: Zone = V4_ZONE,
    project: Project = None,
    commit: Annotated[str, typer.Option(help="Code to run.")] = "HEAD",
    profile: ClusterProfile = PAPER,
    restarts: Annotated[int, typer.Option(min=0, help="Times to start again after a lost host.")] = 3,
    session: SessionName = "trm",
    follow: Annotated[bool, typer.Option(help="Show what worker 0 says.")] = True,
    no_wandb: NoWandb = False,
    dry_run: DryRun = False,
    study: StudyFolder = None,
) -> None:
    import secrets

    from trm_scaling.io.study import find_study
    from trm_scaling.run.launch import pod as pods
    from trm_scaling.run.launch import tpu_session, tpu_vm
    from trm_scaling.run.launch.commit import sent_commit

    there = _session(tpu, zone, project, session)
    folder = tpu_vm.shared_folder(shared)
    sent = sent_commit(find_study(study), commit)
    _check_sent(sent, experiments, profile)
    launch = tpu_vm.Launch(
        session=there,
        repository=str(sent.repository),
        commit=sent.commit,
        shared=folder,
        experiments=tuple(experiments),
        profile=profile,
        restarts=restarts,
        token=secrets.token_hex(4),
        wandb=not no_wandb,
    )
    if sent.warning:
        typer.echo(f"warning: {sent.warning}", err=True)
    if dry_run:
        _show([*tpu_vm.steps(launch, f"/tmp/{launch.archive}"), tpu_session.follow(there)])
        typer.echo(f"Nothing was started. Once it runs in tmux session {session} of every worker:")
        typer.echo(tpu_session.afterwards(there, folder))
        return
    with tempfile.TemporaryDirectory(prefix="trm-launch-") as temporary:
        pods.bring(launch, Path(temporary) / launch.archive, _note)
    typer.echo(f"It runs in tmux session {session} of every worker.")
    typer.echo(tpu_session.afterwards(there, folder))
    if follow:
        _follow(there)


HEALTH_HELP = """
Ask Google Cloud how a TPU pod is: its state, its number of workers, and all that it knows.

\b
Examples:
  trm launch health --tpu stable-1
  trm launch health --tpu stable-1 --zone us-central2-b
"""


def health(tpu: Tpu, zone: Zone = V4_ZONE, project: Project = None, dry_run: DryRun = False) -> None:
    from trm_scaling.run.launch import pod as pods
    from trm_scaling.run.launch.tpu_vm import Pod
    from trm_scaling.run.launch.tpu_vm import health as asked

    pod = Pod(tpu, zone, project)
    if dry_run:
        _show([asked(pod)])
        return
    typer.echo(pods.health(pod, _note))


FOLLOW_HELP = """
Show what worker 0 of a TPU pod says, from its last lines on, and end with the exit status of the run when
that ends. Ctrl-C ends the following, not the run.

\b
Examples:
  trm launch follow --tpu stable-1
  trm launch follow --tpu stable-1 --session trm-2
"""


def follow(
    tpu: Tpu,
    zone: Zone = V4_ZONE,
    project: Project = None,
    session: SessionName = "trm",
    dry_run: DryRun = False,
) -> None:
    from trm_scaling.run.launch import tpu_session

    there = _session(tpu, zone, project, session)
    if dry_run:
        _show([tpu_session.follow(there)])
        return
    _follow(there)


STOP_HELP = """
Save and stop what runs on a TPU pod; the command that launched it goes on from there.

\b
Examples:
  trm launch stop --tpu stable-1
  trm launch stop --tpu stable-1 --now
"""


def stop(
    tpu: Tpu,
    zone: Zone = V4_ZONE,
    project: Project = None,
    session: SessionName = "trm",
    now: Annotated[bool, typer.Option("--now", help="End it at once, saving nothing.")] = False,
    dry_run: DryRun = False,
) -> None:
    from trm_scaling.run.launch import pod as pods
    from trm_scaling.run.launch import tpu_session

    there = _session(tpu, zone, project, session)
    if dry_run:
        _show([tpu_session.end(there) if now else tpu_session.stop(there)])
        return
    typer.echo(pods.stop(there, now, _note))


FETCH_HELP = """
Bring results of a TPU pod into this study, also while runs go on; checkpoints stay there. Runs that have
a result here, or are trained here, are left alone.

\b
Examples:
  trm launch fetch --tpu stable-1 --shared /mnt/trm
  trm launch fetch --tpu stable-1 --shared /mnt/trm --dry-run
"""


def fetch(
    tpu: Tpu,
    shared: Shared,
    zone: Zone = V4_ZONE,
    project: Project = None,
    dry_run: DryRun = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.io.study import find_study
    from trm_scaling.run.launch import pod as pods
    from trm_scaling.run.launch import tpu_session
    from trm_scaling.run.launch.fetched import place
    from trm_scaling.run.launch.tpu_vm import Pod, shared_folder

    found, pod, there = find_study(study), Pod(tpu, zone, project), shared_folder(shared)
    if dry_run:
        archive = f"/tmp/{tpu_session.RESULTS}"
        _show([tpu_session.pack_results(pod, there), tpu_session.fetch_results(pod, archive)])
        typer.echo(f"Then the runs in {archive} are moved into {found.checkpoints}.")
        return
    with tempfile.TemporaryDirectory(prefix="trm-fetch-") as folder:
        here = Path(folder) / tpu_session.RESULTS
        pods.fetch(pod, there, here, _note)
        placed = place(here, found)
    for name, reason in placed.kept:
        typer.echo(f"left alone: {name} {reason}")
    typer.echo(f"{len(placed.new)} runs brought, {len(placed.kept)} left alone; `trm status` shows them")


WORKER_HELP = """
What each worker of a pod runs: experiments one after another, each again from its newest checkpoint when a
host was lost. Ends with the first exit status that is not 0.

\b
Examples:
  trm launch worker baseline --profile smoke
  trm launch worker exp01a exp01b --profile paper --restarts 3
"""


def worker(
    experiments: InTurn,
    profile: ClusterProfile = PAPER,
    restarts: Annotated[int, typer.Option(min=0, help="Times to start again after a lost host.")] = 3,
    no_wandb: NoWandb = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.parallel.hosts import parting_seconds
    from trm_scaling.run.launch.worker import run_all

    found, runs, overrides = _checked(experiments, [], profile, study)
    options = [*overrides, "--profile", profile, "--study", str(found.path)]
    options += ["--no-wandb"] if no_wandb else []
    commands = [[sys.executable, "-m", "trm_scaling", "run", run.config.name, *options] for run in runs]
    parting = max(parting_seconds(run.config.system) for run in runs)
    raise typer.Exit(run_all(commands, restarts, _note, parting=parting))


def add_to(app: typer.Typer) -> None:
    """Register the verbs under `trm launch`."""
    app.command("tpu-vm", help=TPU_HELP, short_help="On all workers of a TPU pod.")(tpu_vm)
    app.command("health", help=HEALTH_HELP, short_help="How a pod is.")(health)
    app.command("follow", help=FOLLOW_HELP, short_help="What a pod says, to the run's end.")(follow)
    app.command("stop", help=STOP_HELP, short_help="Save and stop on a pod.")(stop)
    app.command("fetch", help=FETCH_HELP, short_help="Results of a pod into this study.")(fetch)
    app.command("worker", help=WORKER_HELP, short_help="What each worker of a pod runs.")(worker)


def checked_names(
    experiments: list[str], patterns: list[str], profile: str, study: Path | None
) -> "tuple[Study, list[str], list[str]]":
    """The study, the names of experiments and the overrides, each experiment composed here, so that what is
    wrong is said before a machine elsewhere is touched."""
    found, runs, overrides = _checked(experiments, patterns, profile, study)
    return found, [run.config.name for run in runs], overrides


def _checked(
    experiments: list[str], patterns: list[str], profile: str, study: Path | None
) -> "tuple[Study, list[Run], list[str]]":
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
    return found, [planner.plan(name) for name in names], overrides


def _check_sent(sent: "Sent", experiments: list[str], profile: str) -> None:
    """Compose the experiments as the commit has them, which is what the workers will do."""
    from trm_scaling.run.launch.commit import study_of

    with study_of(sent) as study:
        try:
            checked_names(experiments, [], profile, study.path)
        except UserError as error:
            raise UserError(
                f"{error} (in commit {sent.commit[:12]}, which is what the pod would run: commit what is "
                "new, or name another with --commit)"
            ) from None


def _session(tpu: str, zone: str, project: str | None, name: str) -> "Session":
    from trm_scaling.run.launch.tpu_vm import Pod, Session

    return Session(Pod(tpu, zone, project), name)


def _show(steps: "list[Step]") -> None:
    for step in steps:
        typer.echo(f"# {step.purpose}\n{step}\n")


def _follow(session: "Session") -> None:
    """Show what worker 0 says, and end with the run's exit status."""
    from trm_scaling.run.launch import pod as pods
    from trm_scaling.run.launch.tpu_session import typed

    status = pods.follow(session, lambda line: typer.echo(line, nl=False))
    if status is None:
        typer.echo(
            f"no longer following; the run goes on. Follow again:\n  {typed('follow', session)}", err=True
        )
        return
    raise typer.Exit(status)


def _note(text: str) -> None:
    typer.echo(text, err=True)
