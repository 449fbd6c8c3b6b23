"""`trm eval`: accuracy of a run after every supervision step, and what noise and selection add."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trm_scaling.cli.options import AsJson, At, Profile, StudyFolder, complete_run

if TYPE_CHECKING:
    from trm_scaling.cli.weights import OpenedWeights
    from trm_scaling.evaluation.samples import Budget
    from trm_scaling.evaluation.score import Outcomes

HELP = """
Evaluate a run: exact and cell accuracy after each of N supervision steps, under the halting rule and by
difficulty, with counts and 95 % intervals, with the moving average of the weights and without.

Several samples differ by noise, by random initial states (--init random) or by the task's symmetries
(--augment); the first has none of these. Decoders say which answer counts: best_q, the highest halting
logit; mode, the most frequent; residual, whose logits changed least; confidence, the most probable; verified,
the first that keeps the task's rules; oracle, the ceiling, which knows the labels; all of them: all.

--surface writes accuracy at every number of steps and samples (powers of two) beside the run, from one
evaluation. Interrupted, the same command goes on.

\b
Examples:
  trm eval baseline --profile smoke
  trm eval baseline --profile laptop --steps 64 --at last
  trm eval baseline --samples 8 --noise 0.3 --decoder all
  trm eval baseline --steps 64 --samples 32 --noise 0.3 --surface --limit 200
  trm eval 6x6 --limit 100 --steps 32
"""

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="An experiment (its run as written, else the newest), a run folder, a model file, or 4x4, 6x6, "
        "maze, which come with the package.",
        autocompletion=complete_run,
    ),
]


def evaluate(
    name: Model,
    puzzles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Other puzzles, as in data.min_rating=3."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Supervision steps N.", show_default="arch.halt_max_steps")
    ] = None,
    split: Annotated[Literal["test", "val"], typer.Option(help="Which held-out puzzles.")] = "test",
    at: At = "best",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first puzzles of the split.")] = None,
    decoder: Annotated[
        list[str] | None,
        typer.Option(
            help="A further decoder, or all; may be given several times.", metavar="NAME", show_default=False
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers to each puzzle.")] = 1,
    noise: Annotated[
        float, typer.Option(min=0.0, help="Deviation of what samples after the first add to z_H each step.")
    ] = 0.0,
    init: Annotated[
        Literal["fixed", "random"], typer.Option(help="Initial states of the samples after the first.")
    ] = "fixed",
    augment: Annotated[
        bool, typer.Option("--augment", help="Samples after the first see images of the puzzle.")
    ] = False,
    sampling_seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of what is random.", show_default="the run's")
    ] = None,
    surface: Annotated[
        bool, typer.Option("--surface", help="Every number of steps and samples, written beside the run.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File of the surface.", show_default="surfaces.json in the run folder"),
    ] = None,
    as_json: AsJson = False,
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.cli.weights import open_weights
    from trm_scaling.errors import UserError
    from trm_scaling.evaluation.decode import decoder_names
    from trm_scaling.evaluation.samples import Budget

    if out is not None and not surface:
        raise UserError("--out names the file of a surface: add --surface")
    opened = open_weights(name, profile, study, at, puzzles or [])
    budget = Budget(steps or opened.config.arch.halt_max_steps, samples, noise, init, augment)
    seed = opened.config.seed if sampling_seed is None else sampling_seed
    names = decoder_names(decoder or (["all"] if surface else []))
    if surface:
        from trm_scaling.cli.surface import write_surface

        write_surface(opened, budget, names, split, limit, seed, out, as_json)
        return
    _evaluate(opened, budget, decoder or [], split, limit, seed, as_json)


def _evaluate(
    opened: "OpenedWeights",
    budget: "Budget",
    asked: list[str],
    split: Literal["test", "val"],
    limit: int | None,
    seed: int,
    as_json: bool,
) -> None:
    import jax

    from trm_scaling.evaluation.decode import decoder_names, possible
    from trm_scaling.evaluation.score import Evaluator
    from trm_scaling.run.reporters import shown_progress

    config, weights = opened.config, opened.weights
    standing = ("last", "halting")  # in every table
    names = tuple(name for name in decoder_names(asked) if name not in standing)
    if "all" in asked:
        names = possible(names, budget, opened.dataset.task)
    evaluator = Evaluator(config, decoders=names, budget=budget)
    puzzles = opened.dataset.test if split == "test" else opened.dataset.val
    results: dict[str, Outcomes] = {}
    for averaged in [True, False] if weights.ema is not None else [False]:
        label = "moving average" if averaged else "current weights"
        with shown_progress() as progress:
            params = weights.answering(averaged)
            results[label] = evaluator(
                params, weights.buffers, puzzles, limit, progress, jax.random.key(seed)
            )
    if as_json:
        summaries = {label: outcomes.summary() for label, outcomes in results.items()}
        rows = [{"weights": label, **row} for label, found in results.items() for row in found.rows()]
        answer = {
            **{"run": opened.source, "step": opened.step, "split": split},
            **{name: value for name, value in budget._asdict().items() if name != "steps"},
            **{"weights": summaries, "evaluations": rows},
        }
        typer.echo(json.dumps(answer))
        return
    task = opened.dataset.task
    typer.echo(f"{opened.source} at step {opened.step:,}, {split} {task.puzzles}")
    if task.caution:
        typer.echo(task.caution)
    for label, outcomes in results.items():
        typer.echo(f"\n{label}")
        typer.echo(table(outcomes.summary()))
        for row in (row for row in outcomes.rows() if row["decoder"] in names):
            ceiling = "  (knows the labels: a ceiling)" if row["decoder"] == "oracle" else ""
            typer.echo(f"{row['decoder']:>18}  {_exact(row)}  mean steps {row['mean_steps']:.2f}{ceiling}")


def table(summary: dict[str, Any]) -> str:
    """The summary of one set of weights as plain columns."""
    by_rules = "verified_rate" in summary["final"]
    head = f"{'supervision step':>18}  {'exact':>8}  {'95 % interval':>17}  {'solved':>15}  {'cells':>8}"
    lines = [head + (f"  {'by the rules':>12}" if by_rules else "")]
    for row in summary["by_step"]:
        right = f"  {row['verified_rate']:>12.2%}" if by_rules else ""
        lines.append(f"{row['supervision_step']:>18}  {_exact(row)}  {row['cell_rate']:>8.2%}{right}")
    rule = summary["halting_rule"]
    lines.append(f"{'halting rule':>18}  {_exact(rule)}  mean steps {rule['mean_steps']:.2f}")
    lines += [f"{'rating ' + band['ratings']:>18}  {_exact(band)}" for band in summary["by_rating"]]
    return "\n".join(lines)


def _exact(row: dict[str, Any]) -> str:
    low, high = row["interval_95"]
    counts = f"{row['solved']:,}/{row['puzzles']:,}"
    return f"{row['exact_rate']:>8.2%}  {low:>7.2%} - {high:>7.2%}  {counts:>15}"
