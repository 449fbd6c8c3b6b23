"""`trm logs`: what a run says, or said."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import RunName, StudyFolder, folder_named, profile_option
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.io.run_folder import RunFolder
    from trm_scaling.io.study import Study

HELP = """
Print the log of a run: of several of one name, the one that was written last. With --follow go on until
the run ends.

\b
Examples:
  trm logs exp01a
  trm logs exp01a --follow
  trm logs kellen/checkpoints/smoke/exp01a/1a2b3c4d-s0 --stderr
"""

POLL_SECONDS = 0.3


def logs(
    name: RunName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    stderr: Annotated[bool, typer.Option("--stderr", help="Warnings and errors instead.")] = False,
    profile: Annotated[str | None, profile_option("all that have runs")] = None,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.io.study import find_study
    from trm_scaling.results.state import standing

    found = find_study(study)
    folder = _newest(found, name, profile)
    log = folder.stderr if stderr else folder.stdout
    if not log.is_file():
        raise UserError(
            f"{folder.path} has no log: it did not come to its first step here. What a Slurm job said is in "
            f"{found.job_logs}; its numbers are in {folder.metrics.name}"
        )
    try:
        with log.open("rb") as file:
            while True:
                # The state before the text: what a run said last is then not missed.
                running = standing(folder).state == "running"
                typer.echo(file.read().decode(errors="replace"), nl=False)
                if not (follow and running):
                    return
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return


def _newest(study: "Study", name: str, profile: str | None) -> "RunFolder":
    """The run folder `name`, or the run of that name whose log was written last."""
    from trm_scaling.results.scan import scan_runs
    from trm_scaling.run.planned import no_run

    named = folder_named(name)
    if named is not None:
        return named
    runs = [run for run in scan_runs(study, None if profile is None else [profile]) if name in run.names]
    if not runs:
        raise UserError(no_run(study, name, profile))

    def written(folder: "RunFolder") -> float:
        return folder.stdout.stat().st_mtime if folder.stdout.exists() else 0.0

    return max((run.folder for run in runs), key=written)
