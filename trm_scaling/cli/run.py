"""`trm run`: train one experiment to its record."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import Overrides, Profile, StudyFolder, chosen_profile

if TYPE_CHECKING:
    from trm_scaling.results.record import RunRecord

HELP = """
Train an experiment, evaluate it, write its record. The same command again resumes or, when the run
is finished, shows what came of it. Ctrl-C saves and stops; twice stops at once.

\b
Examples:
  trm run baseline --profile smoke
  trm run baseline --profile laptop --seed 1
  trm run baseline --profile laptop arch.hidden_size=96 lr=3e-4
  trm run baseline --profile smoke --dry-run
"""


def run(
    experiment: Annotated[str, typer.Argument(help="Name in the study, e.g. baseline.")],
    overrides: Overrides = None,
    profile: Profile = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the run.", show_default="0")] = None,
    study: StudyFolder = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the configuration and stop.")] = False,
) -> None:
    from trm_scaling.io.study import find_study
    from trm_scaling.run.single import execute, plan_run

    fields = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    planned = plan_run(find_study(study), experiment, chosen_profile(profile), fields)
    if dry_run:
        from trm_scaling.config.compose import dump

        typer.echo(dump(planned.config), nl=False)
        typer.echo(f"# run folder: {planned.folder.path}")
        return
    from trm_scaling.cli.live import live_reporter
    from trm_scaling.run.compilation import configure_jax

    configure_jax()
    try:
        with live_reporter() as reporter:
            reporter.note(f"{experiment} under {planned.config.profile}: {_from_here(planned.folder.path)}")
            record = execute(planned, reporter)
    except KeyboardInterrupt:
        typer.echo("stopped at once; the same command resumes from the last checkpoint", err=True)
        raise typer.Exit(130) from None
    typer.echo(describe(record))


def describe(record: "RunRecord") -> str:
    """What a run came to, in a few lines."""
    best = record.headline()
    final, rule = best.summary["final"], best.summary["halting_rule"]
    low, high = final["interval_95"]
    weights = "moving average" if best.averaged else "current weights"
    speed = "" if record.examples_per_s is None else f", {record.examples_per_s:,.0f} puzzles/s"
    return "\n".join(
        [
            f"test    {final['exact_rate']:.2%} exact ({final['solved']:,} of {final['puzzles']:,} puzzles; "
            f"95 % interval {low:.2%} to {high:.2%}), {final['cell_rate']:.2%} of cells",
            f"        at step {best.step:,} of {record.steps:,}, best on validation; {weights}",
            f"halting {rule['exact_rate']:.2%} exact in {rule['mean_steps']:.2f} supervision steps each",
            f"model   {record.parameters:,} parameters, {record.training_flops:.3g} training FLOPs",
            f"time    {record.train_s:.1f} s training, {record.compile_s:.1f} s compiling, "
            f"{record.eval_s:.1f} s evaluating{speed} on {record.device_count} x {record.device_kind}",
        ]
    )


def _from_here(path: Path) -> Path:
    """`path` as a person in this folder would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
