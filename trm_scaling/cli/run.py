"""`trm run`: train one experiment to its record."""

import os
import sys
import traceback
from contextlib import ExitStack, contextmanager
from traceback import format_exception_only
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import (
    Experiment,
    NoWandb,
    Overrides,
    Profile,
    Seed,
    StudyFolder,
    Together,
    chosen_profile,
)
from trm_scaling.cli.tables import from_here
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trm_scaling.parallel.hosts import Hosts
    from trm_scaling.results.record import RunRecord
    from trm_scaling.run.planned import Run
    from trm_scaling.run.reporters import BarReporter, LoggingReporter, LogReporter

HELP = """
Train an experiment, evaluate it, write its record. The same command again resumes or, when the run
is finished, shows what came of it. Ctrl-C saves and stops; twice stops at once.

On an accelerator, replicates whose width is at most 256 are trained as one program if they fit its memory;
others one after another. --together and --apart decide it for any device.

All devices share the batch. On a TPU pod, and under srun, the processes of all hosts find each other;
elsewhere, start the same command on each host with --coordinator, --num-processes and --process-id. All
hosts need the study on one shared file system.

\b
Examples:
  trm run baseline --profile smoke
  trm run baseline --profile laptop --seed 1
  trm run baseline --profile smoke --replicates 3
  trm run baseline --profile smoke --replicates 3 --together
  trm run baseline --profile laptop arch.hidden_size=96 lr=3e-4
  trm run baseline --profile smoke --dry-run
"""


def run(
    experiment: Experiment = None,
    overrides: Overrides = None,
    profile: Profile = None,
    seed: Seed = None,
    replicates: Annotated[int, typer.Option(min=1, help="Seeds to run it with.")] = 1,
    together: Together = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME",
            help="Another experiment, which differs in the moving average alone: both are trained once.",
        ),
    ] = None,
    no_wandb: NoWandb = False,
    study: StudyFolder = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would compute, take and cost, and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --dry-run: as JSON, with every field of the configuration.")
    ] = False,
    coordinator: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where several processes meet: process 0's.")
    ] = None,
    num_processes: Annotated[int | None, typer.Option(min=1, help="How many processes there are.")] = None,
    process_id: Annotated[int | None, typer.Option(min=0, help="Which of them this is, from 0.")] = None,
    join_timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the others.")] = 300.0,
) -> None:
    from trm_scaling.io.study import find_study
    from trm_scaling.parallel.hosts import SINGLE_PROCESS, join, rendezvous
    from trm_scaling.run.planned import plan_run

    if experiment is None:
        raise UserError(
            "name an experiment: `trm run baseline --profile smoke` takes half a minute, and "
            "`trm batch --list` shows what else there is"
        )
    at = rendezvous(coordinator, num_processes, process_id)
    with parting(SINGLE_PROCESS if dry_run else join(at, join_timeout)) as hosts:
        fields = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
        found, chosen = find_study(study), chosen_profile(profile)
        planned = plan_run(found, experiment, chosen, fields)
        if dry_run:
            preview(planned, as_json)
            return
        others = [plan_run(found, name, chosen, fields) for name in beside or []]
        if no_wandb:
            os.environ["WANDB_MODE"] = "disabled"
        first = planned.config.seed
        runs = [planned.with_seed(each) for each in range(first, first + replicates)]
        if others:
            groups = [
                group
                for each in runs
                for group in trajectories([each, *(other.with_seed(each.config.seed) for other in others)])
            ]
            if hosts.count > 1:
                groups = [[run] for group in groups for run in group]
        else:
            groups = grouped(runs, together, hosts)
        _train_all(groups, experiment, hosts)


@contextmanager
def parting(hosts: "Hosts") -> "Iterator[Hosts]":
    """For the block; what ends it in one of several processes is told to the others, which end too."""
    try:
        yield hosts
    except UserError as error:
        if hosts.count > 1:
            print(f"error: {error}", file=sys.stderr)
            hosts.leave(error.exit_status, str(error))
        raise
    except typer.Exit as end:
        why = "stopped at once" if end.__cause__ is None else "".join(format_exception_only(end.__cause__))
        hosts.leave(end.exit_code, why.strip())
        raise
    except Exception as error:
        # A process boundary: if nothing is said the others take this process for lost, and the launcher
        # would start again what fails again.
        from trm_scaling.run.failure import EXIT_STATUS

        if hosts.count > 1:
            _show_traceback()
            hosts.leave(EXIT_STATUS["other"], f"{type(error).__name__}: {error}")
        raise
    hosts.end()


def preview(planned: "Run", as_json: bool) -> None:
    """Print what a run would be; nothing is made."""
    import json

    from trm_scaling.cli.preview import page
    from trm_scaling.run.preview import Previewer

    found = Previewer(planned.study)(planned)
    typer.echo(json.dumps(found.to_json()) if as_json else page(found))


def grouped(runs: "list[Run]", together: bool | None, hosts: "Hosts") -> "list[list[Run]]":
    """Which of `runs`, replicates of one another, are trained as one program; says why when none are."""
    from trm_scaling.run.compilation import configure_jax
    from trm_scaling.run.local_device import this_device
    from trm_scaling.run.vmapped_runs import groups_of, why_apart

    if len(runs) == 1:
        return [runs]
    configure_jax()
    reason = why_apart(runs[0].config, len(runs), this_device(), hosts.count, together)
    if reason is None:
        return groups_of(runs)
    if hosts.is_first:
        typer.echo(f"{len(runs)} seeds one after another: {reason}")
    return [[run] for run in runs]


def trajectories(runs: "list[Run]") -> "list[list[Run]]":
    """`runs` of one trajectory in groups that can go on from one step.

    Raises UserError when they differ in more than the average.
    """
    from trm_scaling.config.traced_fields import are_one_trajectory
    from trm_scaling.run.vmapped_runs import groups_of

    if not are_one_trajectory([run.config for run in runs]):
        names = ", ".join(run.config.name for run in runs)
        raise UserError(
            f"{names} differ in more than the moving average, or are the same: --with is for experiments "
            "that differ in ema and ema_rate alone, and keep no ema_rates"
        )
    return groups_of(runs)


def _train_all(groups: "list[list[Run]]", experiment: str, hosts: "Hosts") -> None:
    """One group after another. A loss that is not finite ends its own run alone, as it does in a group."""
    from trm_scaling.run.failure import EXIT_STATUS

    diverged = EXIT_STATUS["non_finite"]
    failed = False
    for group in groups:
        try:
            _train(group, experiment, hosts, group is groups[0])
        except UserError as error:
            if error.exit_status != diverged or len(groups) == 1 or hosts.count > 1:
                raise
            typer.echo(f"error: {error}", err=True)
            failed = True
    if failed:
        raise typer.Exit(diverged)


def _train(runs: "list[Run]", experiment: str, hosts: "Hosts", is_first: bool) -> None:
    """Train `runs`, several as one program, and say what came of each.

    Raises the first failure of one by itself. The exit status of a failure is that of its class.
    """
    from trm_scaling.config.schedule import said_of_matching
    from trm_scaling.run.compilation import configure_jax
    from trm_scaling.run.multihost import follow
    from trm_scaling.run.reporters import NoReporter, live_reporters
    from trm_scaling.run.single import execute
    from trm_scaling.run.vmapped_runs import execute_together
    from trm_scaling.tracking.wandb_mirror import mirror_said

    configure_jax()
    several = len(runs) > 1
    labels = _told_apart(runs) if several else [""]
    among = f", one of {len(runs)} together" if several else f", {hosts.count} processes" * (hosts.count > 1)
    ended: list[RunRecord | UserError] = []
    with classified():
        if not hosts.is_first:
            print(f"process {hosts.index} of {hosts.count}; process 0 reports", flush=True)
            follow(runs[0], NoReporter(), hosts)
            return
        with live_reporters(labels) as shown, ExitStack() as opened:
            reporters = []
            for run, each in zip(runs, shown, strict=True):
                name, seed = run.config.name if several else experiment, run.config.seed
                is_first_seed = seed == runs[0].config.seed if several else is_first
                reporters.append(opened.enter_context(logged(each, run, name, is_first_seed)))
                reporters[-1].note(_announcement(run, name, among))
            matching = None if several else said_of_matching(runs[0].config)
            for line in (matching, _of_precision(runs[0]), mirror_said()):
                if line is not None:
                    reporters[0].note(line)
            ended += execute_together(runs, reporters) if several else [execute(runs[0], reporters[0], hosts)]
            for reporter, found in zip(reporters, ended, strict=True):
                reporter.log(f"error: {found}" if isinstance(found, UserError) else describe(found))
    for label, found in zip(labels, ended, strict=True):
        if not isinstance(found, UserError):
            typer.echo(f"{label}\n{describe(found)}" if label else describe(found))
    for found in ended:
        if isinstance(found, UserError):
            raise found


@contextmanager
def logged(
    shown: "LogReporter | BarReporter", run: "Run", experiment: str, is_first_seed: bool
) -> "Iterator[LoggingReporter]":
    """For the block, a reporter that keeps the run's log too; what ends the block early is its last line."""
    from trm_scaling.io.secrets import masked_text
    from trm_scaling.run.batch.logs import own_log
    from trm_scaling.run.reporters import LoggingReporter

    names = (experiment, run.folder.path.parent.name)
    with own_log(run.study, names, run.config.seed, is_first_seed) as open_log:
        reporter = LoggingReporter(shown, lambda: open_log(run.folder))
        try:
            yield reporter
        except BaseException as error:
            # It is raised again; here it is only written down.
            reporter.log(masked_text(f"{type(error).__name__}: {error}"))
            raise


def _told_apart(runs: "list[Run]") -> list[str]:
    """What differs between runs of one program: their seeds, or their names."""
    seeds = [run.config.seed for run in runs]
    return [run.config.name for run in runs] if len(set(seeds)) == 1 else [f"seed {seed}" for seed in seeds]


def _announcement(planned: "Run", experiment: str, among: str) -> str:
    seed = f", seed {planned.config.seed}" if planned.config.seed else ""
    return f"{experiment} under {planned.config.profile}{seed}{among}: {from_here(planned.folder.path)}"


def _of_precision(planned: "Run") -> str | None:
    """What is to be said of the run's precision: nothing, unless half precision is slow here."""
    from trm_scaling.io.machine import fast_precision

    fast, dtype = fast_precision(), planned.config.arch.forward_dtype
    if fast.dtype != "float32":
        return None
    advice = "" if dtype == "float32" else "; arch.forward_dtype=float32 is the faster run"
    return f"precision {dtype}: {fast.reason}{advice}"


@contextmanager
def classified() -> "Iterator[None]":
    """For the block: what nobody foresaw ends the process with a status of its own."""
    from trm_scaling.run.failure import EXIT_STATUS

    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped at once; the same command resumes from the last checkpoint", err=True)
        raise typer.Exit(130) from None
    except UserError:
        raise
    except Exception as error:
        # A process boundary: whoever started this process is told the class of what nobody foresaw.
        _show_traceback()
        raise typer.Exit(EXIT_STATUS["other"]) from error


def _show_traceback() -> None:
    """Of the error at hand, without the secrets in its words: standard error is a batch's log."""
    from trm_scaling.io.secrets import masked_text

    print(masked_text(traceback.format_exc()), end="", file=sys.stderr, flush=True)


def describe(record: "RunRecord") -> str:
    """What a run came to, in a few lines."""
    from trm_scaling.tasks.task import task_class

    task = task_class(record.config["data"]["task"])
    best = record.headline()
    final, rule = best.summary["final"], best.summary["halting_rule"]
    low, high = final["interval_95"]
    weights = "current weights" if best.ema_rate is None else "moving average"
    by_rules = []
    if "verified" in final:
        low_right, high_right = final["verified_interval_95"]
        by_rules = [
            f"        {final['verified_rate']:.2%} {task.verified} "
            f"({final['verified']:,} of {final['puzzles']:,}; "
            f"95 % interval {low_right:.2%} to {high_right:.2%})"
        ]
    speed = "" if record.examples_per_s is None else f", {record.examples_per_s:,.0f} puzzles/s"
    return "\n".join(
        [
            f"test    {final['exact_rate']:.2%} exact ({final['solved']:,} of {final['puzzles']:,} puzzles; "
            f"95 % interval {low:.2%} to {high:.2%}), {final['cell_rate']:.2%} of cells",
            *by_rules,
            f"        at step {best.step:,} of {record.steps:,}, best on validation; {weights}",
            *_votes(record),
            *([f"note    {task.caution}"] if task.caution else []),
            f"halting {rule['exact_rate']:.2%} exact in {rule['mean_steps']:.2f} supervision steps each",
            f"model   {record.parameters:,} parameters, {record.training_flops:.3g} training FLOPs",
            f"time    {record.train_s:.1f} s training, {record.compile_s:.1f} s compiling, "
            f"{record.eval_s:.1f} s evaluating{speed} on {record.device_count} x {record.device_kind}",
        ]
    )


def _votes(record: "RunRecord") -> list[str]:
    """pass@1 and pass@2 of the votes, of the test and of what was asked to check memorisation."""
    lines = []
    for asked, word in (("test", "votes "), ("train", "memory")):
        rows = {
            row.attempts: row
            for row in record.evaluations
            if row.decoder == "vote" and row.split == asked and row.attempts
        }
        if rows:
            passed = ", ".join(f"pass@{k} {rows[k].task_rate:.1%}" for k in (1, 2))
            trained = ", which were trained on" if asked == "train" else ""
            lines.append(f"{word}  {passed} of {rows[2].tasks:,} tasks{trained} ({rows[2].puzzles:,} inputs)")
    return lines
