"""`trm sync`: W&B runs from what lies in run folders."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import StudyFolder, complete_run, profile_option
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.tracking.wandb_run import Sending

HELP = """
Make the W&B runs of run folders complete, from their metrics.jsonl: runs that were trained offline, without
W&B, or while it failed. Online, what the server lacks is sent; offline, the W&B folder is written anew.

\b
Examples:
  trm sync --all
  trm sync baseline 'exp01*' --profile laptop
  trm sync kellen/checkpoints/smoke/baseline/1a2b3c4d-s0 --offline
"""


def sync(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="Experiments, every run of them, or run folders.",
            autocompletion=complete_run,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every run of the study.")] = False,
    profile: Annotated[str | None, profile_option("every profile", "Only this budget.")] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Write W&B's files beside the run; send nothing.")
    ] = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.experiments import load_catalogue
    from trm_scaling.io.run_folder import RunFolder
    from trm_scaling.io.study import find_study
    from trm_scaling.results.scan import scan_runs
    from trm_scaling.run.planned import folder_named, runs_named
    from trm_scaling.tracking.wandb_mirror import InUse, rebuild

    if bool(runs) == everything:
        raise UserError("name the runs to sync, or say --all for every one")
    found = find_study(study)
    # Each once: several names may share a run by links.
    folders: dict[Path, RunFolder] = {}
    if everything and not scan_runs(found, None if profile is None else [profile]):
        raise UserError(f"no run in {found.checkpoints}: train one with `trm run`")
    for name in runs or ["*"]:
        named = runs_named(found, name, profile)
        recorded = named if folder_named(name) else [each for each in named if each.metrics.is_file()]
        if not recorded:
            raise UserError(f"no run of {name!r} in {found.checkpoints} has recorded anything yet")
        folders |= {each.path.resolve(): RunFolder(each.path.resolve()) for each in recorded}
    mode = _mode(offline)
    catalogue = load_catalogue(found.path)
    for folder in folders.values():
        label = "/".join(folder.path.parts[-3:])
        try:
            copied = rebuild(folder, catalogue.group_of(folder.path.parent.name), mode)
        except InUse:
            typer.echo(f"{label}: is being copied by the process beside it; left alone")
        except UserError as error:
            raise UserError(f"{label}: {error}; the runs before it are complete") from error
        else:
            typer.echo(f"{label}: {copied}")


def _mode(offline: bool) -> "Sending":
    """Where to write. Says so where that was not asked for."""
    from trm_scaling.tracking.wandb_run import chosen_mode, installed

    if not installed():
        raise UserError(
            "W&B's client is not installed: in the clone, "
            "pip install -c requirements/constraints.txt -e '.[wandb]'"
        )
    if offline:
        return "offline"
    mode = chosen_mode()
    if mode == "disabled":
        raise UserError("W&B is disabled, by WANDB_MODE or W&B's settings; say --offline, or enable it")
    if mode == "offline" and "WANDB_MODE" not in os.environ:
        typer.echo("not logged in to W&B, so offline; after `wandb login` the same command uploads", err=True)
    return mode
