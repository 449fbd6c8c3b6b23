"""`trm batch`: many experiments, one process each; `--list`: what there is, and how it stands."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trm_scaling.cli.options import (
    Experiments,
    NoWandb,
    Pattern,
    Profile,
    Seed,
    StudyFolder,
    Together,
    chosen_names,
    chosen_profile,
    parted,
)
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.config import RunConfig
    from trm_scaling.experiments.catalogue import Catalogue
    from trm_scaling.io.study import Study
    from trm_scaling.results.run_names import RunNames
    from trm_scaling.results.scan import State
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
    pattern: Pattern = None,
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
    named, overrides = parted(names)
    if list_all:
        shown = chosen_names(catalogue, named, pattern) if named or pattern else catalogue.names
        typer.echo(listing(found, catalogue, shown, profile))
        return
    chosen = chosen_names(catalogue, named, pattern)
    from trm_scaling.run.batch.job import plan_jobs
    from trm_scaling.run.reporters import shown_progress

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
    from trm_scaling.run.local_device import worker_backend
    from trm_scaling.run.vmapped_runs import goes_together

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


def _run(
    study: "Study",
    planned: "list[Job]",
    jobs: int,
    command: "Command",
    continue_on_failure: bool,
    retry_failed: bool,
) -> int:
    from trm_scaling.cli.batch_view import shown_batch
    from trm_scaling.io.machine import usable_cores
    from trm_scaling.run.batch.runner import BatchRunner
    from trm_scaling.run.batch.worker import make_slots, visible_gpus

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
    from trm_scaling.cli.batch_view import SteadyStream
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
    from trm_scaling.results.scan import standing

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


def listing(study: "Study", catalogue: "Catalogue", names: Sequence[str], profile: str | None) -> str:
    """`names` by families, each on a line of its own; states under `profile` (None: under every
    profile that has runs). Composes nothing.
    """
    from trm_scaling.results.run_names import RunNames
    from trm_scaling.results.scan import profiles_with_runs

    profiles = profiles_with_runs(study) if profile is None else [profile]
    called = RunNames(study, catalogue)
    states = {each: newest_states(study, each, called) for each in profiles}
    said = {name: _state(name, catalogue, states) for name in names}
    name_width, state_width = (max(map(len, column)) for column in (names, said.values()))
    lines: list[str] = []
    family = None
    for name in names:
        own = catalogue.family_of(name)
        if own is not family:
            if own in catalogue.beside and family not in catalogue.beside:
                count = len(catalogue.study_names) - 1
                lines += ["", f"BESIDE the study's {count}, matched by their first word alone (law*, maze*):"]
            family = own
            lines += ["", f"{own.title}: {own.goal}" if own else "Without a family:"]
        changes = catalogue.describe(name) or (
            "what the others are compared with" if name == "baseline" else ""
        )
        columns = [f"  {name:<{name_width}}", f"{said[name]:<{state_width}}", changes]
        lines.append("  ".join([*columns, _alias(catalogue, name, profiles)]).rstrip())
    return "\n".join([*lines, "", _summary(catalogue, names, states)])


def newest_states(study: "Study", profile: str, called: "RunNames") -> "dict[str, State]":
    """How the newest run of each experiment stands, by every name that it has; not of one with overrides."""
    from trm_scaling.results.scan import scan_runs, standing

    newest: dict[str, State] = {}
    runs = sorted(scan_runs(study, [profile]), key=lambda run: run.touched)
    for run in runs:
        newest |= dict.fromkeys(called(run), standing(run.folder).state)
    return newest


def _alias(catalogue: "Catalogue", name: str, profiles: Sequence[str]) -> str:
    """Under which profiles the name is another's configuration; the paper's counts where none was used."""
    asked = list(profiles) or ["paper"]
    shared = [each for each in asked if catalogue.alias_of(name, each)]
    if not shared:
        return ""
    everywhere = len(shared) == len(asked)
    return f"= {catalogue.alias_of(name, shared[0])}" + ("" if everywhere else f" ({', '.join(shared)})")


def _state(name: str, catalogue: "Catalogue", states: "dict[str, dict[str, State]]") -> str:
    """`finished`, or `laptop finished, smoke failed` where several profiles were used."""
    said = []
    for profile, known in states.items():
        shared = catalogue.alias_of(name, profile)
        state = known.get(name) or (known.get(shared) if shared else None)
        if state is not None:
            said.append(state if len(states) == 1 else f"{profile} {state}")
    return ", ".join(said) or "new"


def _summary(catalogue: "Catalogue", names: Sequence[str], states: "dict[str, dict[str, State]]") -> str:
    lines = [f"{len(names)} names"]
    for profile, known in states.items():
        # Each configuration once: aliases are counted with the name whose run they share.
        owners = dict.fromkeys(catalogue.alias_of(name, profile) or name for name in names)
        counts = Counter(known.get(name, "new") for name in owners)
        said = ", ".join(f"{number} {state}" for state, number in counts.most_common())
        lines.append(f"{profile}: {len(owners)} configurations: {said}")
    return "\n".join(lines)
