"""`trm eval`: accuracy of a run after every supervision step."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trm_scaling.cli.options import AsJson, At, Profile, RunName, StudyFolder, open_run

if TYPE_CHECKING:
    from trm_scaling.evaluation.score import Outcomes

HELP = """
Evaluate a run: exact and cell accuracy after each of N supervision steps, under the halting rule and by
difficulty, with counts and 95 % intervals, with the moving average of the weights and without. Other decoders
say which of the answers counts: best_q, the one with the highest halting logit; mode, that of most samples.
Samples differ by noise that is added to their states.

\b
Examples:
  trm eval baseline --profile smoke
  trm eval baseline --profile laptop --steps 64 --at last
  trm eval kellen/checkpoints/smoke/baseline/1a2b3c4d-s0 --split val --json
  trm eval baseline --decoder best_q --decoder mode --samples 8 --noise 0.3
"""


def evaluate(
    name: RunName,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Supervision steps N.", show_default="arch.halt_max_steps")
    ] = None,
    split: Annotated[Literal["test", "val"], typer.Option(help="Which held-out puzzles.")] = "test",
    at: At = "best",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first puzzles of the split.")] = None,
    decoder: Annotated[
        list[str] | None,
        typer.Option(
            help="A further decoder; may be given several times.", metavar="NAME", show_default=False
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers to each puzzle.")] = 1,
    noise: Annotated[
        float, typer.Option(min=0.0, help="Deviation of what samples after the first add to their states.")
    ] = 0.0,
    sampling_seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the noise.", show_default="the run's")
    ] = None,
    as_json: AsJson = False,
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
    import jax

    from trm_scaling.cli.progress import shown_progress
    from trm_scaling.evaluation.decode import decoder_names
    from trm_scaling.evaluation.score import Evaluator
    from trm_scaling.tasks.build import ensure_dataset
    from trm_scaling.train.weights import check_table, load_weights

    run = open_run(name, profile, study)
    dataset = ensure_dataset(run.config.data, run.study.data_root)
    weights, step = load_weights(run.folder, run.config, at)
    check_table(run.folder, step, run.config.data, run.study.data_root)
    names = decoder_names(decoder or [])
    evaluator = Evaluator(run.config, steps, decoders=names, samples=samples, noise=noise)
    key = jax.random.key(run.config.seed if sampling_seed is None else sampling_seed)
    puzzles = dataset.test if split == "test" else dataset.val
    results: dict[str, Outcomes] = {}
    for averaged in [True, False] if weights.ema is not None else [False]:
        label = "moving average" if averaged else "current weights"
        with shown_progress() as progress:
            params = weights.answering(averaged)
            results[label] = evaluator(params, weights.buffers, puzzles, limit, progress, key)
    if as_json:
        summaries = {label: outcomes.summary() for label, outcomes in results.items()}
        rows = [{"weights": label, **row} for label, found in results.items() for row in found.rows()]
        answer = {
            **{"run": str(run.folder.path), "step": step, "split": split, "samples": samples, "noise": noise},
            **{"weights": summaries, "evaluations": rows},
        }
        typer.echo(json.dumps(answer))
        return
    typer.echo(f"{run.folder.path} at step {step:,}, {split} {dataset.task.puzzles}")
    if dataset.task.caution:
        typer.echo(dataset.task.caution)
    for label, outcomes in results.items():
        typer.echo(f"\n{label}")
        typer.echo(table(outcomes.summary()))
        further = [row for row in outcomes.rows() if row["decoder"] in names]
        for row in further:
            typer.echo(f"{row['decoder']:>18}  {_exact(row)}  mean steps {row['mean_steps']:.2f}")


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
