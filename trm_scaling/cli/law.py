"""`trm law`: a law that is predicted in writing and then measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import NoWandb, StudyFolder, say_first
from trm_scaling.cli.verbs import Verbs
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.io.study import Study
    from trm_scaling.preregistration.protocol import Protocol

HELP = """
A law that is predicted in writing and then measured: protocol.yaml in a folder says what is run, what is
fitted, what is held out, and when the law has succeeded.

\b
Examples:
  trm law run --stage grid       train the runs that the law is fitted to
  trm law predict                write predictions.json; then commit it
  trm law run --stage held_out   train what was predicted
  trm law steps                  final weights after 1 to 64 test-time steps
  trm law report                 law.md and law.html: what came of them
"""

app = typer.Typer(
    cls=Verbs,
    help=HELP,
    short_help="Predict a law, then measure it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Folder = Annotated[
    Path | None, typer.Argument(help="The law's folder.", show_default="law in the study's folder")
]

RUN = """
Train the runs of a stage that are not finished, one after another, and add each to points.csv as it ends.
The same command resumes, here or in a second terminal.

The held-out stage begins only once predictions.json is committed.
"""
PREDICT = """
Fit every form of the protocol to the finished runs of its fitted stage and write down, with intervals, what
each says of the held-out runs. This is done once. Where the protocol asks what recursion is worth, the same
command predicts that next, into recursion.json.
"""
STEPS = """
Evaluate the final weights of every finished run that is on this machine after 1 to 64 supervision steps, on
the validation puzzles of its learning curve, and add it to steps.csv. Runs that are in it already are left
alone.
"""
REPORT = """
Write law.md, law.html and law.svg from protocol.yaml, points.csv and predictions.json alone.
"""


@app.command(help=RUN, short_help="Train the runs of a stage.")
def run(
    folder: Folder = None,
    stage: Annotated[str | None, typer.Option(help="Stage.", show_default="the first unfinished")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs that are left and stop.")] = False,
    no_wandb: NoWandb = False,
    study: StudyFolder = None,
) -> None:
    say_first("reading the finished runs")
    from trm_scaling.preregistration.points import update
    from trm_scaling.preregistration.predictions import missing_runs
    from trm_scaling.results.format import amount

    found, folder, protocol = _opened(folder, study)
    points = update(folder, found, protocol)
    stage = stage or next((each for each in protocol.stages if missing_runs(protocol, each, points)), None)
    if stage is None:
        typer.echo("every run of every stage is finished; `trm law report` says what came")
        return
    left = missing_runs(protocol, stage, points)
    typer.echo(f"stage {stage}: {amount(len(left), 'run')} left")
    if dry_run:
        typer.echo("\n".join(left))
        return
    from trm_scaling.preregistration import predictions, recursion

    if stage == protocol.held_out:
        _refuse_unpredicted(folder / predictions.FILE)
    elif protocol.recursion and stage == protocol.recursion.held_out:
        _refuse_unpredicted(folder / recursion.FILE)
    from trm_scaling.cli.batch import batch

    for each in left:
        name, _, seed = each.rpartition(" seed ")
        try:
            batch([name], profile=protocol.profile, seed=int(seed), no_wandb=no_wandb, study=found.path)
        except typer.Exit as ended:
            if ended.exit_code:
                raise
        update(folder, found, protocol)


@app.command(help=PREDICT, short_help="Write the predictions down.")
def predict(folder: Folder = None, study: StudyFolder = None) -> None:
    from trm_scaling.cli.options import one_blas_thread

    one_blas_thread()
    from trm_scaling.preregistration import predictions, recursion
    from trm_scaling.preregistration.points import update

    found, folder, protocol = _opened(folder, study)
    points = update(folder, found, protocol)
    if protocol.recursion and (folder / predictions.FILE).exists():
        made = recursion.predict(folder, found.configs, protocol, points)
        typer.echo(
            f"wrote {len(made['targets'])} predictions to {folder / recursion.FILE}; commit it before "
            f"`trm law run --stage {protocol.recursion.held_out}`"
        )
        return
    written = predictions.predict(folder, found.configs, protocol, points)
    said = written["forms"][protocol.primary]
    typer.echo(f"{said['formula']}: {said['verdict']}")
    typer.echo(
        f"wrote {len(written['targets'])} predictions to {folder / predictions.FILE}; commit it before "
        f"`trm law run --stage {protocol.held_out}`"
    )


@app.command(help=REPORT, short_help="Predictions against what came.")
def report(folder: Folder = None, study: StudyFolder = None) -> None:
    from trm_scaling.cli.options import one_blas_thread

    one_blas_thread()
    from trm_scaling.preregistration import predictions
    from trm_scaling.preregistration.page import write_report
    from trm_scaling.preregistration.points import read_points

    _, folder, protocol = _opened(folder, study)
    made = predictions.read_predictions(folder) if (folder / predictions.FILE).exists() else None
    points = read_points(folder)
    if made is not None:
        typer.echo(f"fitting the law to {len(points)} points, in each way that is compared ...", err=True)
    judgement = write_report(folder, protocol, points, made)
    for each in judgement.criteria if judgement else ():
        typer.echo(f"{'met' if each.met else 'not met':<8} {each.what}: {each.found}")
    typer.echo(f"wrote {folder / 'law.md'} and law.html")


@app.command(help=STEPS, short_help="Final weights after 1 to 64 steps.")
def steps(folder: Folder = None, study: StudyFolder = None) -> None:
    import time

    from trm_scaling.api.models import evaluate, load_run
    from trm_scaling.preregistration.points import finished_runs
    from trm_scaling.preregistration.test_time import HELD_OUT, add_steps, read_steps

    found, folder, protocol = _opened(folder, study)
    runs, known = finished_runs(found, protocol), read_steps(folder)
    measured = set(zip(known["experiment"], known["seed"], strict=True))
    for row in runs.to_dict("records"):
        if (row["experiment"], row["seed"]) in measured:
            continue
        trained = load_run(row["folder"])
        try:
            model = trained.model(at="last")
        except UserError as error:
            typer.echo(f"{row['experiment']} seed {row['seed']} is left out: {error}")
            continue
        began = time.perf_counter()
        came = evaluate(model, "val", steps=HELD_OUT, limit=trained.config.eval_puzzles)
        run = {"experiment": row["experiment"], "seed": row["seed"], "params": row["params"]}
        run |= {"trained_steps": trained.config.arch.halt_max_steps, "seconds": time.perf_counter() - began}
        add_steps(folder, run, came.solved, came.cells_right, came.cells)
        typer.echo(
            f"{row['experiment']} seed {row['seed']}: {came.solved[:, -1].mean():.1%} after {HELD_OUT}"
        )


def _opened(folder: Path | None, study: Path | None) -> "tuple[Study, Path, Protocol]":
    from trm_scaling.io.study import find_study
    from trm_scaling.preregistration.protocol import read_protocol

    found = find_study(study)
    folder = found.path / "law" if folder is None else folder
    return found, folder, read_protocol(folder)


def _refuse_unpredicted(path: Path) -> None:
    """Raise UserError unless the predictions at `path` are in the newest commit as they stand."""
    from trm_scaling.io.source import is_committed

    if not path.exists():
        raise UserError(
            f"{path} is not written yet: `trm law predict` makes it, once the fitted runs are finished"
        )
    if not is_committed(path):
        raise UserError(
            f"{path} is not committed as it stands: a prediction counts only if its commit is older "
            f"than the runs. Commit it (git add {path.name}; git commit), then run the same command again"
        )
