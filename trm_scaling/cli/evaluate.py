"""`trm eval`: accuracy of a run after every supervision step, and what noise and selection add."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trm_scaling.cli.options import AsJson, At, Profile, StudyFolder, complete_run, say_first
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.cli.weights import OpenedWeights
    from trm_scaling.evaluation.decode import DecoderName
    from trm_scaling.evaluation.samples import Budget
    from trm_scaling.evaluation.score import Outcomes

HELP = """
Evaluate a run: exact and cell accuracy after each of N supervision steps, with the halting rule, and by
difficulty. Each is shown with counts and a 95 % interval, for the moving average of the weights and for the
weights themselves.

With --samples every puzzle is answered several times. The first sample is the plain one; the others differ
from it by noise (--noise), by random initial states (--init random) or by the task's symmetries (--augment).
A decoder chooses the answer that counts. best_q takes the one with the highest halting logit; mode, the most
frequent; residual, the one whose logits changed least; confidence, the most probable; verified, the first
that keeps the task's rules; oracle, the first right one. The oracle reads the labels: it is an upper bound,
not a method. --decoder all takes every decoder.

--surface measures accuracy at every number of steps and samples (powers of two) in one evaluation and writes
it beside the run. If it is interrupted, the same command continues it.

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
        help="An experiment (its unchanged run, else its newest), a run folder, a model file, or 4x4, 6x6 or "
        "maze, which come with the package.",
        autocompletion=complete_run,
    ),
]


def evaluate(
    name: Model,
    puzzles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Answer other puzzles, e.g. data.min_rating=3."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Supervision steps (N).", show_default="arch.halt_max_steps"),
    ] = None,
    split: Annotated[Literal["test", "val"], typer.Option(help="Test or validation puzzles.")] = "test",
    at: At = "best",
    limit: Annotated[int | None, typer.Option(min=1, help="Answer only the first so many puzzles.")] = None,
    decoder: Annotated[
        list[str] | None,
        typer.Option(
            help="Decoder beside last and halting, or all. Repeatable.", metavar="NAME", show_default=False
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Number of samples (answers) for each puzzle.")] = 1,
    noise: Annotated[
        float,
        typer.Option(min=0.0, help="Standard deviation of the noise added to z_H before each step."),
    ] = 0.0,
    init: Annotated[
        Literal["fixed", "random"], typer.Option(help="Initial states of all samples but the first.")
    ] = "fixed",
    augment: Annotated[
        bool,
        typer.Option("--augment", help="All samples but the first see a symmetric image of the puzzle."),
    ] = False,
    sampling_seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of all that is random.", show_default="the run's"),
    ] = None,
    surface: Annotated[
        bool,
        typer.Option("--surface", help="Write accuracy at every number of steps and samples."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File that --surface writes.", show_default="surfaces.json in the run folder"),
    ] = None,
    as_json: AsJson = False,
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
    if out is not None and not surface:
        raise UserError("--out names the file of a surface: add --surface")
    say_first(f"loading {name}")
    from trm_scaling.cli.weights import open_weights
    from trm_scaling.evaluation.decode import decoder_names, possible
    from trm_scaling.evaluation.samples import Budget
    from trm_scaling.results.surfaces import OF_ONE_SAMPLE

    opened = open_weights(name, profile, study, at, puzzles or [])
    budget = Budget(steps or opened.config.arch.halt_max_steps, samples, noise, init, augment)
    seed = opened.config.seed if sampling_seed is None else sampling_seed
    asked = decoder or (["all"] if surface else [])
    names = decoder_names([*OF_ONE_SAMPLE, *asked])  # those two are in every table
    if "all" in asked:
        names = possible(names, budget, opened.dataset.task)
    if surface:
        from trm_scaling.cli.surface import write_surface

        write_surface(opened, budget, names, split, limit, seed, out, as_json)
        return
    further = tuple(name for name in names if name not in OF_ONE_SAMPLE)
    _evaluate(opened, budget, further, split, limit, seed, as_json)


def _evaluate(
    opened: "OpenedWeights",
    budget: "Budget",
    names: "tuple[DecoderName, ...]",
    split: Literal["test", "val"],
    limit: int | None,
    seed: int,
    as_json: bool,
) -> None:
    import jax

    from trm_scaling.evaluation.score import Evaluator
    from trm_scaling.run.reporters import shown_progress

    config, weights = opened.config, opened.weights
    evaluator = Evaluator(config, decoders=names, budget=budget)
    puzzles = opened.puzzles(split)
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
