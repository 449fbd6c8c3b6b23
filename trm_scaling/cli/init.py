"""`trm init`: a study of one's own."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """
Make a folder with the study in it: its 67 experiments, their configurations and scripts, and no results. The
commands of the documents then run in that folder as they do in a clone of the repository. A URL puts the
study into a bucket: `--study URL` names it from then on. Runs that are there stay.

\b
Examples:
  trm init my-lab
  trm init my-lab && cd my-lab && trm run baseline --profile smoke
  trm init gs://my-bucket/kellen
"""


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR|URL", help="Folder to make the study in, or gs://... or s3://...")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Only see that this machine reads and writes the URL.")
    ] = False,
) -> None:
    from trm_scaling.errors import UserError
    from trm_scaling.io.bucket import bucket_url
    from trm_scaling.io.bucket_study import check_access, put_study
    from trm_scaling.io.study import laboratory, make_laboratory

    if (url := bucket_url(folder)) is not None:
        check_access(url)
        count = 0 if check else put_study(laboratory() / "kellen", url)
        typer.echo(
            f"{url} is read and written from here" + ("" if check else f"; {count} files put there. Next:")
        )
        if not check:
            typer.echo(f"  trm run baseline --profile smoke --study {url}")
        return
    if check:
        raise UserError(f"--check takes the URL of a bucket, gs://... or s3://..., and {folder} is none")
    study = make_laboratory(folder)
    typer.echo(f"{study} holds the study; what its runs make stays in {folder.resolve()}. Next:")
    if folder.resolve() != Path.cwd():
        typer.echo(f"  cd {folder}")
    typer.echo("  trm run baseline --profile smoke     # half a minute; --profile laptop: minutes")
