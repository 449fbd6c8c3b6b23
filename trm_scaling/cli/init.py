"""`trm init`: a study of one's own."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """
Make a folder with the study in it: its 67 experiments, their configurations and scripts, and no results. The
commands of the documents then run in that folder as they do in a clone of the repository.

\b
Examples:
  trm init my-lab
  trm init my-lab && cd my-lab && trm run baseline --profile smoke
"""


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make the study in.")],
) -> None:
    from trm_scaling.io.study import make_laboratory

    study = make_laboratory(folder)
    typer.echo(f"{study} holds the study; what its runs make stays in {folder.resolve()}. Next:")
    if folder.resolve() != Path.cwd():
        typer.echo(f"  cd {folder}")
    typer.echo("  trm run baseline --profile smoke     # half a minute; --profile laptop: minutes")
