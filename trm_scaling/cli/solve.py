"""`trm solve`: watch a trained run solve one puzzle, supervision step by supervision step."""

import time
from pathlib import Path
from typing import Annotated

import typer

from trm_scaling.cli.options import Profile, RunName, StudyFolder, chosen_profile

HELP = """
Solve one puzzle with a trained run and show the board after each supervision step.

\b
Examples:
  trm solve baseline --profile smoke
  trm solve baseline --profile laptop test:17
  trm solve baseline --profile smoke "1... ..3. .4.. ...2" --steps 16 --save solved.svg
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
    from trm_scaling.config.compose import load
    from trm_scaling.io.study import find_study
    from trm_scaling.run.compilation import configure_jax
    from trm_scaling.run.single import find_run
    from trm_scaling.train.think import think
    from trm_scaling.train.weights import load_weights

    configure_jax()
    found = find_study(study)
    folder = find_run(found, name, chosen_profile(profile))
    config = load(folder.config)
    chosen = choose_puzzle(puzzle, config, found.data_root)
    weights, _ = load_weights(folder, config, "best")
    thoughts = think(config, weights, chosen.inputs, steps or config.arch.halt_max_steps)
    pause = delay if sys.stdout.isatty() else 0.0
    typer.echo(chosen.title)
    for frame in frames(chosen, thoughts):
        typer.echo(frame)
        time.sleep(pause)
    if save is not None:
        save_picture(save, chosen, thoughts)
        typer.echo(f"wrote {save}")
