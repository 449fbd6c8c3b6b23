"""`trm launch tpu-vm` and what belongs to it: bring a run to a TPU pod, look after it, fetch its results."""

import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.launch import app, composed, note, run_command
from trm_scaling.cli.options import PAPER, ClusterProfile, NoWandb, StudyFolder, complete_experiment
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.config import RunConfig
    from trm_scaling.run.launch.commit import Sent
    from trm_scaling.run.launch.tpu_vm import Session, Step

V4_ZONE = "us-central2-b"
"""The one that has v4 pods."""

LARGEST_V4 = "v4-64"

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
Restarts = Annotated[int, typer.Option(min=0, help="Times to start again after a lost host.")]

TPU_HELP = """
Bring experiments to a TPU pod and start them on all its workers: the code of one commit, an environment
with the extras [tpu,wandb], a tmux session that outlives this connection. Then follow worker 0, and
end with the run's exit status; Ctrl-C ends the following, not the run.

With --queued the pod is asked for first, as a queued resource, and deleted when the study is done. A spot pod
that is preempted is asked for again, and the study goes on from its bucket. What a grant does not usually
cover is refused unless --yes-billed is given.

\b
Examples:
  trm launch tpu-vm baseline --tpu stable-1 --shared /mnt/trm --dry-run
  trm launch tpu-vm exp01a exp01b --tpu stable-1 --shared /mnt/trm
  trm launch tpu-vm exp01a --tpu pod --queued --spot --study gs://mine/kellen
"""


@app.command("tpu-vm", help=TPU_HELP, short_help="On all workers of a TPU pod.")
def tpu_vm(
    experiments: InTurn,
    tpu: Tpu,
    shared: Annotated[
        str | None,
        typer.Option(help="Folder that all workers see: a mounted NFS share. Or a bucket: --study gs://..."),
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Its zone.", show_default="that of a usual grant")] = None,
    project: Project = None,
    commit: Annotated[str, typer.Option(help="Code to run.")] = "HEAD",
    profile: ClusterProfile = PAPER,
    restarts: Restarts = 3,
    session: SessionName = "trm",
    follow: Annotated[bool, typer.Option(help="Show what worker 0 says.")] = True,
    queued: Annotated[
        bool, typer.Option("--queued", help="Ask for the pod, and delete it at the end.")
    ] = False,
    kind: Annotated[
        str | None,
        typer.Option("--type", help="With --queued: v4-8 to v4-64, v5e-N, v6e-N.", show_default=LARGEST_V4),
    ] = None,
    spot: Annotated[bool, typer.Option("--spot", help="With --queued: spot capacity.")] = False,
    valid_until: Annotated[
        str | None, typer.Option(help="With --queued: how long to wait for it, as in 6h.")
    ] = None,
    yes_billed: Annotated[
        bool,
        typer.Option(
            "--yes-billed",
            help="Agree to pay for what no usual grant covers, and for traffic between regions.",
        ),
    ] = False,
    no_wandb: NoWandb = False,
    dry_run: DryRun = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.io.bucket import bucket_url
    from trm_scaling.io.study import find_study, nearest_study
    from trm_scaling.run.launch import bucket_access
    from trm_scaling.run.launch import pod as pods
    from trm_scaling.run.launch import tpu_vm as vm
    from trm_scaling.run.launch.commit import sent_commit
    from trm_scaling.run.launch.queued import Queue, Request, create, delete, look
    from trm_scaling.run.launch.tpu_types import refuse_billed, refuse_uneven, tpu_type, usual_zone

    url = bucket_url(study)
    if (url is None) == (shared is None):
        raise UserError(
            "say where the study is to lie: --study gs://BUCKET/kellen, or --shared with a folder that all "
            "workers mount, as in /mnt/trm"
        )
    if (spot or valid_until or kind) and not queued:
        raise UserError("--spot, --type and --valid-until go with --queued")
    if queued and not follow:
        raise UserError("--no-follow does not go with --queued, which deletes the pod when the study is done")
    asked = tpu_type(kind or LARGEST_V4)
    zone = zone or (usual_zone(asked, spot) if queued else V4_ZONE)
    there = vm.Session(vm.Pod(tpu, zone, project), session)
    request = Request(there.pod, asked, spot, valid_until)
    folder = url or vm.shared_folder(shared or "")
    sent = sent_commit(nearest_study() if url else find_study(study), commit)
    configs = _check_sent(sent, experiments, profile)
    if queued:
        if url is None and spot:
            raise UserError(
                "a spot pod comes back empty: keep the study in a bucket, --study gs://BUCKET/kellen"
            )
        refuse_billed(asked, zone, spot, yes_billed)
        refuse_uneven(asked.name, asked.chips, configs)
    launch = vm.Launch(
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
        note(f"warning: {sent.warning}")
    if dry_run:
        before, after = ([create(request), look(request)], [delete(request)]) if queued else ([], [])
        looks = [bucket_access.describe(url)] if url and url.startswith("gs://") else []
        _show(*looks, *before, *vm.steps(launch, f"/tmp/{launch.archive}"), vm.follow(there), *after)
        typer.echo(f"Nothing was started. Once it runs in tmux session {session} of every worker:")
        typer.echo(vm.afterwards(there, folder, delete(request) if queued else None))
        return
    if url is not None:
        bucket_access.refuse(url, zone, configs, yes_billed, note)

    def bring() -> None:
        with tempfile.TemporaryDirectory(prefix="trm-launch-") as temporary:
            pods.bring(launch, Path(temporary) / launch.archive, note)
        typer.echo(f"It runs in tmux session {session} of every worker.")
        typer.echo(vm.afterwards(there, folder, delete(request) if queued else None))

    if queued:
        queue = Queue(request, note)
        raise typer.Exit(
            queue.run(
                lambda: None if pods.runs_already(there, note) else bring(),
                lambda: pods.follow(there, lambda line: typer.echo(line, nl=False)),
            )
        )
    bring()
    if follow:
        _follow(there)


HEALTH_HELP = """
Ask Google Cloud how a TPU pod is: its state, its number of workers, and all that it knows.

\b
Examples:
  trm launch health --tpu stable-1
  trm launch health --tpu stable-1 --zone us-central2-b
"""


@app.command("health", help=HEALTH_HELP, short_help="How a pod is.")
def health(tpu: Tpu, zone: Zone = V4_ZONE, project: Project = None, dry_run: DryRun = False) -> None:
    from trm_scaling.run.launch import pod as pods
    from trm_scaling.run.launch import tpu_vm as vm

    pod = vm.Pod(tpu, zone, project)
    if dry_run:
        _show(vm.health(pod))
        return
    typer.echo(pods.health(pod, note))


FOLLOW_HELP = """
Show what worker 0 of a TPU pod says, from its last lines on, and end with the exit status of the run when
that ends. Ctrl-C ends the following, not the run.

\b
Examples:
  trm launch follow --tpu stable-1
  trm launch follow --tpu stable-1 --session trm-2
"""


@app.command("follow", help=FOLLOW_HELP, short_help="What a pod says, to the run's end.")
def follow(
    tpu: Tpu,
    zone: Zone = V4_ZONE,
    project: Project = None,
    session: SessionName = "trm",
    dry_run: DryRun = False,
) -> None:
    from trm_scaling.run.launch import tpu_vm as vm

    there = vm.Session(vm.Pod(tpu, zone, project), session)
    if dry_run:
        _show(vm.follow(there))
        return
    _follow(there)


STOP_HELP = """
Save and stop what runs on a TPU pod; the command that launched it goes on from there.

\b
Examples:
  trm launch stop --tpu stable-1
  trm launch stop --tpu stable-1 --now
"""


@app.command("stop", help=STOP_HELP, short_help="Save and stop on a pod.")
def stop(
    tpu: Tpu,
    zone: Zone = V4_ZONE,
    project: Project = None,
    session: SessionName = "trm",
    now: Annotated[bool, typer.Option("--now", help="End it at once, saving nothing.")] = False,
    dry_run: DryRun = False,
) -> None:
    from trm_scaling.run.launch import pod as pods
    from trm_scaling.run.launch import tpu_vm as vm

    there = vm.Session(vm.Pod(tpu, zone, project), session)
    if dry_run:
        _show(vm.end(there) if now else vm.stop(there))
        return
    typer.echo(pods.stop(there, now, note))


FETCH_HELP = """
Bring results of a TPU pod into this study, also while runs go on; checkpoints stay there. Runs that have
a result here, or are trained here, are left alone.

\b
Examples:
  trm launch fetch --tpu stable-1 --shared /mnt/trm
  trm launch fetch --tpu stable-1 --shared /mnt/trm --dry-run
"""


@app.command("fetch", help=FETCH_HELP, short_help="Results of a pod into this study.")
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
    from trm_scaling.run.launch import tpu_vm as vm
    from trm_scaling.run.launch.fetched import place

    found, pod, there = find_study(study), vm.Pod(tpu, zone, project), vm.shared_folder(shared)
    if dry_run:
        archive = f"/tmp/{vm.RESULTS}"
        _show(vm.pack_results(pod, there), vm.fetch_results(pod, archive))
        typer.echo(f"Then the runs in {archive} are moved into {found.checkpoints}.")
        return
    with tempfile.TemporaryDirectory(prefix="trm-fetch-") as folder:
        here = Path(folder) / vm.RESULTS
        pods.fetch(pod, there, here, note)
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


@app.command("worker", help=WORKER_HELP, short_help="What each worker of a pod runs.")
def worker(
    experiments: InTurn,
    profile: ClusterProfile = PAPER,
    restarts: Restarts = 3,
    no_wandb: NoWandb = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.parallel.hosts import parting_seconds
    from trm_scaling.run.launch.supervisor import run_all

    found, runs, overrides = composed(experiments, None, profile, study)
    commands = [run_command(found, run.config.name, overrides, profile, no_wandb) for run in runs]
    parting = max(parting_seconds(run.config.system) for run in runs)
    raise typer.Exit(run_all(commands, restarts, note, parting=parting))


def _check_sent(sent: "Sent", experiments: list[str], profile: str) -> "list[RunConfig]":
    """The experiments, composed as the commit has them, which is what the workers will do."""
    from trm_scaling.run.launch.commit import study_of

    with study_of(sent) as study:
        try:
            return [run.config for run in composed(experiments, None, profile, study.path)[1]]
        except UserError as error:
            raise UserError(
                f"{error} (in commit {sent.commit[:12]}, which is what the pod would run: commit what is "
                "new, or name another with --commit)"
            ) from None


def _show(*steps: "Step") -> None:
    for step in steps:
        typer.echo(f"# {step.purpose}\n{step}\n")


def _follow(session: "Session") -> None:
    """Show what worker 0 says, and end with the run's exit status."""
    from trm_scaling.run.launch import pod as pods
    from trm_scaling.run.launch.tpu_vm import typed

    status = pods.follow(session, lambda line: typer.echo(line, nl=False))
    if status is None:
        note(f"no longer following; the run goes on. Follow again:\n  {typed('follow', session)}")
        return
    raise typer.Exit(status)
