"""`trm solve`: watch a trained model solve one puzzle, supervision step by supervision step."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trm_scaling.cli.options import Profile, StudyFolder, complete_run
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.config import RunConfig
    from trm_scaling.tasks.task import Chosen
    from trm_scaling.train.weights import Weights

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

    from trm_scaling.cli.boards import frames
    from trm_scaling.cli.picture import check_name, save_picture
    from trm_scaling.shipped.shelf import model_path, shipped_names

    if save is not None:
        check_name(save)
    file = model_path(name)
    if file is None and re.fullmatch(r"\d+x\d+", name):
        raise UserError(
            f"no model for {name} comes with the package: {' and '.join(shipped_names())} do. Train one "
            "(`trm run baseline --profile h200` is 9x9), or import public weights (`trm import-torch --help`)"
        )
    config, chosen, weights = (
        _of_run(name, puzzle, profile, study) if file is None else _of_file(file, puzzle)
    )
    from trm_scaling.evaluation.samples import Budget
    from trm_scaling.evaluation.trace import trace_of, trajectories

    if noise is None:
        noise = USUAL_NOISE if samples > 1 and init == "fixed" and not augment else 0.0
    budget = Budget(steps or config.arch.halt_max_steps, samples, noise, init, augment)
    params = weights.answering(averaged=weights.ema is not None)
    answers, said, shown = trajectories(config, params, weights.buffers, chosen, budget), list[str](), 0
    if samples > 1:
        from trm_scaling.cli.agreement import agreement

        shown, said = agreement(chosen, answers, budget, decoder)
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


def _of_run(
    name: str, puzzle: str | None, profile: str | None, study: Path | None
) -> "tuple[RunConfig, Chosen, Weights]":
    from trm_scaling.cli.options import open_run
    from trm_scaling.tasks.choose import choose_puzzle
    from trm_scaling.train.weights import check_table, load_weights

    run = open_run(name, profile, study)
    chosen = choose_puzzle(puzzle, run.config.data, run.study.data_root)
    weights, step = load_weights(run.folder, run.config, "best")
    check_table(run.folder, step, run.config.data, run.study.data_root)
    return run.config, chosen, weights


def _of_file(file: Path, puzzle: str | None) -> "tuple[RunConfig, Chosen, Weights]":
    from trm_scaling.cli.options import uncompiled_search
    from trm_scaling.run.compilation import configure_jax
    from trm_scaling.shipped.model_file import read_model

    model = read_model(file)
    from trm_scaling.tasks.task import spec_of

    if spec_of(model.config.data).seq_len <= SMALL:
        uncompiled_search()
    from trm_scaling.tasks.choose import choose_puzzle  # may load Numba, which reads that setting once

    chosen = choose_puzzle(puzzle, model.config.data, None)
    configure_jax()
    from trm_scaling.train.weights import weights_from_public

    return model.config, chosen, weights_from_public(model.config, model.tensors, str(file))
