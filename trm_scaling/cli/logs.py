"""`trm logs` and `trm stop`: what a run says, and the request that it save and end."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import AnyProfile, RunName, StudyFolder, complete_run, profile_option
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.io.run_folder import RunFolder

HELP = """
Print the log of a run: of several of one name, the one that was written last. With --follow go on until
the run ends.

\b
Examples:
  trm logs exp01a
  trm logs exp01a --follow
  trm logs kellen/checkpoints/smoke/exp01a/1a2b3c4d-s0 --stderr
"""

STOP_HELP = """
Ask running runs to save their state and end. They do so within seconds, on whichever machine they run;
the command that started them resumes them. With --all, batch runners end too.

\b
Examples:
  trm stop exp01a
  trm stop exp01a --profile smoke
  trm stop --all
"""

POLL_SECONDS = 0.3


def logs(
    name: RunName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    stderr: Annotated[bool, typer.Option("--stderr", help="Warnings and errors instead.")] = False,
    profile: AnyProfile = None,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.io.mirror import REFRESH_SECONDS, refresh
    from trm_scaling.io.study import find_study
    from trm_scaling.results.scan import standing
    from trm_scaling.run.planned import runs_named

    def written(folder: "RunFolder") -> float:
        return folder.stdout.stat().st_mtime if folder.stdout.exists() else 0.0

    found = find_study(study)
    folder = max(runs_named(found, name, profile), key=written)
    log = folder.stderr if stderr else folder.stdout
    if not log.is_file():
        raise UserError(
            f"{folder.path} has no log: it did not come to its first step here. What a Slurm job said is in "
            f"{found.job_logs}; its numbers are in {folder.metrics.name}"
        )
    try:
        shown = 0
        while True:
            refresh(folder.path, REFRESH_SECONDS)
            # The state before the text: what a run said last is then not missed.
            running = standing(folder).state == "running"
            # Opened anew: what comes from a bucket replaces the file.
            with log.open("rb") as file:
                file.seek(shown)
                text = file.read()
            shown += len(text)
            typer.echo(text.decode(errors="replace"), nl=False)
            if not (follow and running):
                return
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return


def stop(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="An experiment (all its runs) or a run folder.",
            autocompletion=complete_run,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All runs and all batch runners.")] = False,
    profile: Annotated[str | None, profile_option("all")] = None,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.io.lease import holder, request_stop
    from trm_scaling.io.study import find_study
    from trm_scaling.results.scan import scan_runs
    from trm_scaling.run.batch.runner_registry import runners
    from trm_scaling.run.planned import runs_named

    if (name is None) != everything:
        raise UserError("name the run to stop, or say --all")
    found = find_study(study)
    asked = 0
    # The runners first, or they would go on with the next run.
    for runner in runners(found) if everything else ():
        runner.request_stop()
        typer.echo(f"asked the batch runner {runner.process} to stop")
        asked += 1
    if name is None:
        folders = [run.folder for run in scan_runs(found, None if profile is None else [profile])]
    else:
        folders = runs_named(found, name, profile)
    for folder in folders:
        if (lease := holder(folder.path)) is not None:
            request_stop(folder.path)
            typer.echo(f"asked {lease.owner} to stop {folder.path}")
            asked += 1
    if not asked:
        typer.echo("nothing is running")
