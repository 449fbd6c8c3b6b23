"""The verbs of `trm`, assembled."""

from pathlib import Path
from typing import Annotated

import typer

from trm_scaling import __version__
from trm_scaling.cli import (
    batch,
    bench,
    compare,
    data,
    data_arc,
    evaluate,
    fit,
    interchange,
    launch,
    launch_sky,  # noqa: F401  (adds its verb to `launch.app`)
    launch_tpu,  # noqa: F401  (adds its verbs to `launch.app`)
    law,
    logs,
    plan,
    provenance,
    report,
    results,
    run,
    solve,
    status,
    sync,
    verify,
    votes,
)
from trm_scaling.cli.verbs import Verbs

HELP = """
Train Tiny Recursive Models and find out how they scale.

\b
First:
  trm solve 6x6                        watch a model solve a new puzzle
  trm run baseline --profile smoke     train on 4x4 Sudoku, half a minute
  trm solve baseline --profile smoke   watch it solve a puzzle it never saw
Then:
  trm run baseline arch.L_cycles=4     change anything: key=value
  trm batch --list                     the 67 experiments of the study
  trm batch --pattern exp01            run some of them, one after another
  trm report --pattern exp01           what they say, with its uncertainty
Every verb explains itself: trm run --help
"""

INIT_HELP = """
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
        raise UserError(f"--check takes the URL of a bucket, gs://... or s3://..., and not {folder}")
    study = make_laboratory(folder)
    typer.echo(f"{study} holds the study; what its runs make stays in {folder.resolve()}. Next:")
    if folder.resolve() != Path.cwd():
        typer.echo(f"  cd {folder}")
    typer.echo("  trm run baseline --profile smoke     # half a minute; --profile laptop: minutes")


app = typer.Typer(
    help=HELP,
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _name, _verb, _help, _short in (
    ("init", init, INIT_HELP, "Make a folder with the study in it."),
    ("plan", plan.plan, plan.HELP, "Estimate time, memory and cost of experiments."),
    ("run", run.run, run.HELP, "Train an experiment; run again to resume."),
    ("batch", batch.batch, batch.HELP, "Run many experiments; run again to resume."),
    ("status", status.status, status.HELP, "Show the state of every run."),
    ("results", results.results, results.HELP, "Table of results."),
    ("fit", fit.fit, fit.HELP, "Fit a scaling law to runs, with intervals."),
    ("compare", compare.compare, compare.HELP, "Compare experiments, with intervals."),
    ("report", report.report, report.HELP, "Write a report as one HTML file."),
    ("logs", logs.logs, logs.HELP, "Show a run's log."),
    ("stop", logs.stop, logs.STOP_HELP, "Ask runs to save a checkpoint and stop."),
    ("eval", evaluate.evaluate, evaluate.HELP, "Measure accuracy after each supervision step."),
    ("votes", votes.votes, votes.HELP, "pass@K of ARC runs, alone and as an ensemble."),
    ("verify", verify.verify, verify.HELP, "Re-run the first steps; check they are identical."),
    ("provenance", provenance.provenance, provenance.HELP, "Show the code, command and machine of a run."),
    ("solve", solve.solve, solve.HELP, "Watch a model solve one puzzle."),
    ("export", interchange.export, interchange.HELP, "Write a finished run as one small file."),
    ("sync", sync.sync, sync.HELP, "Upload what is missing of runs to W&B."),
    (
        "import-torch",
        interchange.import_torch,
        interchange.IMPORT_HELP,
        "Make a run from public PyTorch weights.",
    ),
    (
        "export-torch",
        interchange.export_torch,
        interchange.EXPORT_HELP,
        "Write a run's weights for the public code.",
    ),
):
    app.command(_name, help=_help, short_help=_short)(_verb)
data.app.command("arc", help=data_arc.HELP)(data_arc.arc)
for _name, _group in (("data", data.app), ("launch", launch.app), ("bench", bench.app), ("law", law.app)):
    app.add_typer(_group, name=_name)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
