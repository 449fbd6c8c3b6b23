"""`trm solve`: watch a trained run solve one puzzle, supervision step by supervision step."""

import time
from pathlib import Path
from typing import Annotated

import typer

from trm_scaling.cli.options import Profile, RunName, StudyFolder, open_run

HELP = """
Solve one puzzle with a trained run and show the board after each supervision step.

\b
Examples:
  trm solve baseline --profile smoke
  trm solve baseline --profile laptop test:17
  trm solve baseline --profile smoke "1... ..3. .4.. ...2" --steps 16
  trm solve baseline --profile smoke test:0 --save solved.svg
"""


def solve(
    name: RunName,
    puzzle: Annotated[
        str | None,
        typer.Argument(
            help="Cells in rows, . or 0 for a blank (white space is dropped), or test:N for a held-out one.",
            show_default="the hardest held-out puzzle of the first hundred",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Supervision steps.", show_default="arch.halt_max_steps")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Also write the boards as an SVG picture.")] = None,
    delay: Annotated[float, typer.Option(min=0, help="Seconds between two boards on a terminal.")] = 0.4,
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
    import sys

    from trm_scaling.cli.boards import choose_puzzle, frames
    from trm_scaling.cli.picture import save_picture
    from trm_scaling.train.think import think
    from trm_scaling.train.weights import load_weights

    run = open_run(name, profile, study)
    chosen = choose_puzzle(puzzle, run.config, run.study.data_root)
    weights, _ = load_weights(run.folder, run.config, "best")
    thoughts = think(run.config, weights, chosen.inputs, steps or run.config.arch.halt_max_steps)
    pause = delay if sys.stdout.isatty() else 0.0
    typer.echo(chosen.title)
    for frame in frames(chosen, thoughts):
        typer.echo(frame)
        time.sleep(pause)
    if save is not None:
        save_picture(save, chosen, thoughts)
        typer.echo(f"wrote {save}")
