"""`trm batch`: many experiments, one process each."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trm_scaling.cli.options import Experiments, NoWandb, Profile, Seed, StudyFolder, Together, chosen_profile
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.config import RunConfig
    from trm_scaling.experiments.catalogue import Catalogue
    from trm_scaling.io.study import Study
    from trm_scaling.run.batch.job import Job, Refused
    from trm_scaling.run.batch.runner import Command

HELP = """
Run many experiments, each in a process of its own that outlives this one and its terminal (replicates that
are trained as one program, in one process: see `trm run --help`). Experiments that differ in the moving
average alone, as those of exp08 do, are trained once, unless --apart is given. The same
command again is always safe: finished runs are skipped, running ones left alone and waited for,
interrupted ones resumed, failed ones named (--retry failed tries them again). Ctrl-C saves and
stops; twice stops at once.

\b
Examples:
  trm batch --list
  trm batch --pattern exp01 --profile smoke --jobs 2
  trm batch exp01a exp01b lr=3e-4 --replicates 3
  trm batch --pattern exp01 --replicates 3 --together
  trm batch --pattern 'exp0[12]*' --continue-on-failure
  trm batch --pattern exp05 --dry-run
"""


def batch(
    names: Experiments = None,
    pattern: Annotated[
        list[str] | None, typer.Option(help="Names that contain it, or match it as a glob. Repeatable.")
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List all experiments and stop.")] = False,
    profile: Profile = None,
    seed: Seed = None,
    replicates: Annotated[int, typer.Option(min=1, help="Seeds to run each with.")] = 1,
    together: Together = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 1,
    continue_on_failure: Annotated[
        bool, typer.Option("--continue-on-failure", help="Start the rest although one failed.")
    ] = False,
    retry: Annotated[
        Literal["failed"] | None, typer.Option(help="Run those again that failed earlier.")
    ] = None,
    no_wandb: NoWandb = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and stop.")] = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.experiments.catalogue import load_catalogue
    from trm_scaling.io.study import find_study

    found = find_study(study)
    catalogue = load_catalogue(found.path)
    overrides = [text for text in names or [] if "=" in text]
    named = [text for text in names or [] if "=" not in text]
    if list_all:
        from trm_scaling.cli.listing import listing

        shown = _chosen(catalogue, named, pattern or []) if named or pattern else catalogue.names
        typer.echo(listing(found, catalogue, shown, profile))
        return
    chosen = _chosen(catalogue, named, pattern or [])
    from trm_scaling.cli.progress import shown_progress
    from trm_scaling.run.batch.job import plan_jobs

    profile = chosen_profile(profile, of_workers=True)
    with shown_progress() as progress:
        planned, refused = plan_jobs(
            found,
            chosen,
            profile,
            overrides,
            seed,
            replicates,
            progress,
            _joining(together, replicates),
            share_trajectories=together is not False,
        )
    for said in _matched(planned, overrides):
        typer.echo(said, err=True)
    if refused and not continue_on_failure:
        raise UserError(_refusals(refused))
    if dry_run:
        typer.echo(_intentions(planned, retry is not None))
        typer.echo(_refusals(refused), err=True) if refused else None
        return
    command = worker_command(found, profile, overrides, no_wandb)
    status = _run(found, planned, jobs, command, continue_on_failure, retry is not None)
    if refused:
        typer.echo(f"error: {_refusals(refused)}", err=True)
    raise typer.Exit(status or (1 if refused else 0))


def _joining(together: bool | None, replicates: int) -> "Callable[[RunConfig], bool]":
    """Which configurations' seeds share a process, if they are to be trained as one program."""
    if together is not None or replicates == 1:
        return lambda config: bool(together)
    from trm_scaling.run.device import worker_backend
    from trm_scaling.run.grouping import goes_together

    backend = worker_backend()
    return lambda config: goes_together(config, backend)


def _matched(planned: "Sequence[Job]", overrides: Sequence[str]) -> list[str]:
    """What schedule=matched makes of a batch that was typed, in words."""
    from trm_scaling.config.schedule import said_of_matching

    if not any(text.lstrip("+").startswith("global_batch_size=") for text in overrides):
        return []
    said = [said_of_matching(job.run.config) for job in planned]
    return list(dict.fromkeys(each for each in said if each is not None))


def worker_command(study: "Study", profile: str, overrides: Sequence[str], no_wandb: bool) -> "Command":
    """What a worker executes for a job."""

    def command(job: "Job") -> list[str]:
        options = ["--profile", profile, "--seed", str(job.seed), "--study", str(study.path)]
        if no_wandb:
            options.append("--no-wandb")
        if job.beside:
            options += [part for name in job.beside for part in ("--with", name)]
        elif job.together > 1:
            options += ["--replicates", str(job.together), "--together"]
        return [sys.executable, "-m", "trm_scaling", "run", job.name, *options, *overrides, *job.smaller]

    return command


def _chosen(catalogue: "Catalogue", names: list[str], patterns: list[str]) -> list[str]:
    if not names and not patterns:
        raise UserError(
            "nothing to run: name experiments, or give --pattern exp01 (or '*' for all); "
            "--list shows what there is"
        )
    catalogue.check(names)
    matching = catalogue.matching(patterns) if patterns else []
    return list(dict.fromkeys([*names, *matching]))


def _run(
    study: "Study",
    planned: "list[Job]",
    jobs: int,
    command: "Command",
    continue_on_failure: bool,
    retry_failed: bool,
) -> int:
    from trm_scaling.cli.watch import shown_batch
    from trm_scaling.io.machine import usable_cores
    from trm_scaling.run.batch.runner import BatchRunner
    from trm_scaling.run.batch.slots import make_slots, visible_gpus

    slots = make_slots(jobs, usable_cores(), visible_gpus(os.environ), os.environ)
    with shown_batch() as view:
        runner = BatchRunner(
            study,
            planned,
            slots,
            command,
            view,
            continue_on_failure=continue_on_failure,
            retry_failed=retry_failed,
        )
        status = runner.run()
    report(planned)
    return status


def report(jobs: "Sequence[Job]") -> None:
    """What came of a batch: every run that is not finished, with why the disk refused it and the last lines
    of those that failed."""
    from trm_scaling.cli.watch import SteadyStream
    from trm_scaling.run.batch.logs import last_lines
    from trm_scaling.run.batch.worker import last_errors

    stream = SteadyStream(sys.stderr)
    for job in jobs:
        if job.outcome == "failed":
            stream.write(f"failed: {_called(job)}: {job.message}\n")
            for line in last_lines(last_errors(job.folder)):
                stream.write(f"    {line}\n")
            stream.write(f"    more in {job.folder.stderr}\n")
    refused = {job.message: job for job in reversed(jobs) if job.outcome == "interrupted" and job.message}
    for message, job in refused.items():
        stream.write(f"refused by the disk, which all runs share: {_called(job)}: {message}\n")
    for outcome in ("stopped", "interrupted", None):
        names = [_called(job) for job in jobs if job.outcome == outcome]
        if names:
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            stream.write(f"{outcome or 'not run'}: {', '.join(names[:10])}{more}\n")
    if any(job.outcome != "finished" for job in jobs):
        stream.write("the same command goes on where this one ended\n")
    stream.flush()


def _called(job: "Job") -> str:
    return f"{job.name} (seed {job.seed})" if job.seed else job.name


def _refusals(refused: "Sequence[Refused]") -> str:
    return "\n".join(f"{each.name}: {each.reason}" for each in refused)


def _intentions(jobs: "Sequence[Job]", retry_failed: bool) -> str:
    """One line a run: what would be done with it, and where it lies."""
    from trm_scaling.results.state import standing

    lines = []
    for job in jobs:
        state = standing(job.folder).state
        match state:
            case "finished":
                action = "skip"
            case "running":
                action = "wait for it"
            case "failed":
                action = "train again" if retry_failed else "leave (--retry failed)"
            case "new":
                action = "train"
            case _:
                action = "resume"
        names = job.name + (f" = {', '.join(job.names[1:])}" if len(job.names) > 1 else "")
        lines.append(f"{names}, seed {job.seed}: {state}; {action}\n    {job.folder.path}")
    return "\n".join(lines)
