"""`trm stop`: ask runs to save and end, on whichever machine they are."""

from typing import Annotated

import typer

from trm_scaling.cli.options import StudyFolder, complete_run, folder_named, profile_option
from trm_scaling.errors import UserError

HELP = """
Ask running runs to save their state and end. They do so within seconds, on whichever machine they run;
the command that started them resumes them. With --all, batch runners end too.

\b
Examples:
  trm stop exp01a
  trm stop exp01a --profile smoke
  trm stop --all
"""


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
    from trm_scaling.run.batch.register import runners

    if (name is None) != everything:
        raise UserError("name the run to stop, or say --all")
    found = find_study(study)
    asked = 0
    if everything:
        # The runners first, or they would go on with the next run.
        for runner in runners(found):
            runner.request_stop()
            typer.echo(f"asked the batch runner {runner.process} to stop")
            asked += 1
    named = None if name is None else folder_named(name)
    if named is not None:
        folders = [named]
    else:
        runs = scan_runs(found, None if profile is None else [profile])
        folders = [run.folder for run in runs if everything or name in run.names]
        if not folders and not everything:
            raise UserError(f"no run of {name!r} in {found.checkpoints}; `trm status` shows what there is")
    for folder in folders:
        lease = holder(folder.path)
        if lease is not None:
            request_stop(folder.path)
            typer.echo(f"asked {lease.owner} to stop {folder.path}")
            asked += 1
    if not asked:
        typer.echo("nothing is running")
