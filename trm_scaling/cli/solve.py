"""`trm solve`: watch a trained model solve one puzzle, supervision step by supervision step."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trm_scaling.cli.options import (
    Profile,
    StudyFolder,
    chosen_profile,
    complete_run,
    say_first,
    uncompiled_search,
)
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.evaluation.trace import Trace
    from trm_scaling.tasks.task import Chosen
from typing import TYPE_CHECKING, get_args

if TYPE_CHECKING:
    from trm_scaling.evaluation.decode import Candidates, Choice, DecoderName
    from trm_scaling.evaluation.predict import Answers
    from trm_scaling.evaluation.samples import Budget
    from trm_scaling.tasks.task import Chosen

HELP = """
Solve one puzzle with a trained model and show the board after each supervision step. 4x4 and 6x6
(Sudoku) and maze (7x7) come with the package; a run of a study, or a file that `trm export` wrote,
does as well.

With --samples several trajectories are tried. It shows how far they agree, and which answer a decoder
(see trm eval) chose and why; the boards are those of that trajectory.

\b
Examples:
  trm solve 6x6
  trm solve 4x4 "1... ..3. .4.. ...2"
  trm solve 6x6 new:33 --save thinking.gif
  trm solve maze --save path.gif
  trm solve baseline --profile laptop test:17 --steps 16
  trm solve 6x6 new:33 --samples 16 --decoder mode
  trm solve arc1_baseline --profile smoke arc:fill-2 --save fill.gif
"""

USUAL_NOISE = 0.3
"""Of several samples that nothing else makes differ (PTRM's on Sudoku, arXiv 2605.19943)."""

SMALL = 36
"""Cells of a puzzle up to which a search takes milliseconds without being compiled."""


def solve(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="4x4, 6x6, maze, an experiment, a run folder or a model file.",
            autocompletion=complete_run,
        ),
    ],
    puzzle: Annotated[
        str | None,
        typer.Argument(
            help="Cells in rows, . or 0 for a blank (white space is dropped); new:N for a generated one; "
            "test:N for one that a run held out; arc:TASK for a task of ARC.",
            show_default="a new one; of a run, the hardest held-out one of the first hundred",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Supervision steps.", show_default="arch.halt_max_steps")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Trajectories.")] = 1,
    noise: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="As in trm eval.", show_default="0.3 if nothing else makes samples differ"
        ),
    ] = None,
    init: Annotated[Literal["fixed", "random"], typer.Option(help="As in trm eval.")] = "fixed",
    augment: Annotated[bool, typer.Option("--augment", help="As in trm eval.")] = False,
    decoder: Annotated[
        str, typer.Option(metavar="NAME", help="With --samples: which answer counts, as in trm eval.")
    ] = "best_q",
    save: Annotated[
        Path | None, typer.Option(help="Also write the boards: .svg, a picture, or .gif, which moves.")
    ] = None,
    delay: Annotated[float, typer.Option(min=0, help="Seconds between two boards on a terminal.")] = 0.4,
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
    import sys

    from trm_scaling.evaluation.picture import check_name, save_picture
    from trm_scaling.run.compilation import configure_jax
    from trm_scaling.run.planned import folder_named
    from trm_scaling.shipped.model_file import model_path, read_model, shipped_names
    from trm_scaling.tasks.task import spec_of

    if save is not None:
        check_name(save)
    file = model_path(name)
    if file is None and re.fullmatch(r"\d+x\d+", name):
        raise UserError(
            f"no model for {name} comes with the package: {' and '.join(shipped_names())} do. Train one "
            "(`trm run baseline --profile h200` is 9x9), or import public weights (`trm import-torch --help`)"
        )
    say_first(f"loading {name}")
    if file is not None and spec_of(read_model(file).config.data).seq_len <= SMALL:
        uncompiled_search()
    configure_jax()
    from trm_scaling.api import models  # may load Numba, which reads that setting once

    if file is None and folder_named(name) is None:
        profile = chosen_profile(profile)
    model = models.load_model(name, profile=profile, study=study)
    if file is None and (how_far := unfinished(Path(model.source), model.step)):
        typer.echo(how_far)
    config, chosen, weights = model.config, model.puzzle(puzzle), model.weights
    from trm_scaling.evaluation.samples import Budget
    from trm_scaling.evaluation.trace import trace_of, trajectories

    if noise is None:
        noise = USUAL_NOISE if samples > 1 and init == "fixed" and not augment else 0.0
    budget = Budget(steps or config.arch.halt_max_steps, samples, noise, init, augment)
    params = weights.answering(averaged=weights.ema is not None)
    answers, said, shown = trajectories(config, params, weights.buffers, chosen, budget), list[str](), 0
    if samples > 1:
        shown, said = compare_samples(chosen, answers, budget, decoder)
    found = trace_of(answers, shown)
    pause = delay if sys.stdout.isatty() else 0.0
    typer.echo(chosen.title)
    for frame in frames(chosen, found):
        typer.echo(frame)
        time.sleep(pause)
    if samples > 1:
        typer.echo("\n".join(said))
    if save is not None:
        save_picture(save, chosen, found)
        typer.echo(f"wrote {save}")


def unfinished(folder: Path, checkpoint: int | None) -> str | None:
    """How far the run in `folder` came, and from which step its weights are; None of a finished one."""
    from trm_scaling.io.run_folder import RunFolder
    from trm_scaling.results.progress import read_progress
    from trm_scaling.results.scan import standing

    run = RunFolder(folder)
    if (state := standing(run).state) in ("finished", "imported"):
        return None
    found = read_progress(run)
    return f"{state} at step {found.step} of {found.total_steps}; checkpoint of step {checkpoint}"


def frames(chosen: "Chosen", trace: "Trace") -> Iterator[str]:
    """The puzzle, then the answer after each step that changed it."""
    task, inputs, labels = chosen.task, chosen.inputs, chosen.labels
    for number, pair in enumerate(chosen.demonstrations, start=1):
        yield f"\ndemonstration {number}\n{task.render_pair(*pair, color=True)}"
    yield f"{task.render(inputs, color=True)}\n{task.given(inputs)}"
    right = task.right(inputs, trace.predictions, labels)
    before, quiet = inputs, 0
    for number, (answer, belief) in enumerate(
        zip(trace.predictions, trace.halt_probability, strict=True), start=1
    ):
        wrong = int(((answer != labels) & (labels > 0)).sum())
        changed = int((answer != before).sum())
        if changed == 0:
            quiet += 1
            continue
        if quiet:
            yield f"\n{_unchanged(number - quiet, number - 1)}"
        state = "solved" if right[number - 1] else f"{wrong} wrong"
        title = f"after supervision step {number}: {state}, {changed} changed, believes {belief:.0%}"
        yield f"\n{title}\n{task.render(inputs, answer, labels, before, color=True)}"
        before, quiet = answer, 0
    if quiet:
        last = len(trace.predictions)
        yield f"\n{_unchanged(last - quiet + 1, last)}"
    if not right[-1]:
        marked = " (x marks a wrong cell)" if "x" in task.render(inputs, before, labels) else ""
        title = f"{chosen.title.partition(',')[0]} is not solved{marked}. Its solution:"
        yield f"\n{title}\n{task.render(inputs, labels)}"


def _unchanged(first: int, last: int) -> str:
    steps = f"step {first} changes" if first == last else f"steps {first} to {last} change"
    return f"supervision {steps} nothing"


_MOST = 8
"""Answers that are listed."""


def compare_samples(
    chosen: "Chosen", answers: "Answers", budget: "Budget", name: str
) -> tuple[int, list[str]]:
    """The sample whose trajectory holds the answer that the decoder `name` takes, and what is said of them
    all.

    `answers` are those to one puzzle. Raises UserError for a decoder that does not exist or knows the labels.
    """
    import numpy as np

    from trm_scaling.evaluation.decode import DecoderName, candidates_of, decoders_for
    from trm_scaling.evaluation.score import judged

    known = [each for each in get_args(DecoderName) if each != "oracle"]
    if name not in known:
        raise UserError(f"--decoder {name}: choose one of {', '.join(known)} (the oracle knows the answer)")
    ((found, decode),) = decoders_for((name,), budget, chosen.task).items()  # type: ignore[arg-type]
    tokens = np.asarray(answers.tokens)
    right = chosen.task.right(chosen.inputs, tokens.reshape(-1, tokens.shape[-1]), chosen.labels)
    valid = judged(chosen.task, chosen.inputs[None], tokens) if chosen.task.has_rules else None
    given = candidates_of(answers, right.reshape(tokens.shape[:-1]), valid)
    choice = decode(given)
    return int(choice.sample[0]), [*_table(given, budget), _why(found, given, choice)]


def _table(given: "Candidates", budget: "Budget") -> list[str]:
    """The different last answers, the most frequent first."""
    import numpy as np

    from trm_scaling.results.format import amount

    final = given.answer[:, -1, 0]
    kinds, counts = np.unique(final, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    steps = given.q_halt.shape[1]
    lines = [
        "",
        f"{budget.samples} samples of {amount(steps, 'step')}, "
        f"{amount(len(kinds), 'different answer')}; the most frequent in {counts.max()} of them",
        f"{'':>8}{'samples':>9}{'believes':>10}{'confidence':>12}{'change':>9}{'rules':>8}{'':>8}",
    ]
    for number, kind in enumerate(order[:_MOST], start=1):
        own = np.flatnonzero(final == kinds[kind])
        belief = 1 / (1 + np.exp(-given.q_halt[own, -1, 0].astype(float).max()))
        kept = "" if given.valid is None else "kept" if given.valid[own[0], -1, 0] else "broken"
        solved = "right" if given.solved[own[0], -1, 0] else "wrong"
        sure, change = given.confidence[own, -1, 0].max(), given.change[own, -1, 0].min()
        lines.append(
            f"{'answer ' + str(number):>8}{len(own):>9}{belief:>10.0%}{sure:>12.3f}{change:>9.3g}"
            f"{kept:>8}{solved:>8}"
        )
    if len(kinds) > _MOST:
        lines.append(f"and {len(kinds) - _MOST} more")
    return lines


def _why(name: "DecoderName", given: "Candidates", choice: "Choice") -> str:
    """`chosen: sample 5 after step 7, by best_q: the highest halting logit, 3.2`."""
    sample, step = int(choice.sample[0]), int(choice.step[0])
    alike = int((given.answer[:, -1, 0] == given.answer[sample, step, 0]).sum())
    logit = float(given.q_halt[sample, step, 0])
    match name:
        case "last":
            why = "the plain trajectory's last answer"
        case "halting":
            why = "the plain trajectory where its halting logit is above zero, or ends"
        case "best_q":
            why = f"the highest halting logit of all samples and steps, {logit:.2f}"
        case "mode":
            why = f"the answer of most samples, {alike}"
        case "residual":
            why = "the logits that changed least over the last three steps"
        case "confidence":
            why = f"the most probable tokens, {float(given.confidence[sample, step, 0]):.3f} in the mean"
        case _:
            kept = given.valid is not None and bool(given.valid[sample, step, 0])
            why = "the first that keeps the rules" if kept else f"none keeps the rules; best_q, {logit:.2f}"
    state = "right" if given.solved[sample, step, 0] else "wrong"
    return f"chosen: sample {sample + 1} after step {step + 1} ({state}), by {name}: {why}"
