"""`trm votes`: what the votes of ARC runs come to, one checkpoint at a time and together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import Profile, StudyFolder, complete_run, open_run
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.tasks.arc.dataset import ArcDataset
    from trm_scaling.tasks.arc.evaluation import ArcScore
    from trm_scaling.tasks.arc.votes import Ballots

HELP = """
Print pass@K of finished ARC runs from the votes that they kept, each by itself; of several runs on one
dataset also of their votes together, which is the result of an ensemble and called so.

\b
Examples:
  trm votes arc1_baseline --profile smoke
  trm votes kellen/checkpoints/smoke/arc1_baseline/*
  trm votes arc1_baseline --submission submission.json
"""

VOTES = "votes.npz"


def votes(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Experiments or run folders.", autocompletion=complete_run),
    ],
    submission: Annotated[
        Path | None, typer.Option(help="Also write the two best answers, in Kaggle's format.")
    ] = None,
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.io.atomic import write_bytes
    from trm_scaling.tasks.arc.evaluation import ensemble, score, submission_bytes

    opened = [_of_run(name, profile, study) for name in names]
    dataset = opened[0][0]
    for name, (own, ballots) in zip(names, opened, strict=True):
        typer.echo(f"{name}: {_said(score(own, ballots))}")
    counted = opened[0][1]
    if len(opened) > 1:
        counted = ensemble([ballots for _, ballots in opened], dataset)
        typer.echo(f"together: {_said(score(dataset, counted))}")
    typer.echo("trained transductively: on the demonstrations of the tasks that are tested")
    if submission is not None:
        write_bytes(submission, submission_bytes(dataset, counted))
        typer.echo(f"wrote {submission}")


def _of_run(name: str, profile: str | None, study: Path | None) -> "tuple[ArcDataset, Ballots]":
    """The dataset of a run and the votes that it kept."""
    from trm_scaling.tasks.arc.embedded import ArcAugmentations
    from trm_scaling.tasks.arc.votes import Ballots
    from trm_scaling.tasks.build import ensure_dataset

    run = open_run(name, profile, study)
    found = ensure_dataset(run.config.data, run.study.data_root).embedded
    if not isinstance(found, ArcAugmentations):
        raise UserError(f"{run.folder.path}: the task {run.config.data.task} has no votes; name an ARC run")
    path = run.folder.path / VOTES
    if not run.folder.finished or not path.is_file():
        raise UserError(f"{run.folder.path} has no votes yet: train it to its end with `trm run`")
    return found.arc, Ballots.load(path, found.arc)[0]


def _said(made: "ArcScore") -> str:
    kind = (
        "one checkpoint"
        if made.kind == "single_checkpoint"
        else f"an ensemble of {made.evaluations} checkpoints"
    )
    passed = ", ".join(f"pass@{k} {rate:.2%}" for k, rate in made.pass_at.items())
    return f"{kind}, {made.tasks:,} tasks, {made.votes:,} votes: {passed}"
