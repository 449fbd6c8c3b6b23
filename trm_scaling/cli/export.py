"""`trm export`: a finished run as one small file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import Profile, RunName, StudyFolder, open_run

if TYPE_CHECKING:
    import numpy as np

    from trm_scaling.cli.options import OpenedRun

HELP = """
Write the best checkpoint of a finished run as one small file that needs no study: weights in float16,
configuration, and where they come from. `trm solve FILE` answers with it.

\b
Examples:
  trm export baseline mine.safetensors --profile smoke
  trm export exp01d wide.safetensors --profile laptop
  trm solve mine.safetensors
"""


def export(
    name: RunName,
    file: Annotated[Path, typer.Argument(help="The file to write, ending in .safetensors.")],
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.errors import UserError
    from trm_scaling.model.interchange import to_public
    from trm_scaling.results.record import read_record
    from trm_scaling.shipped.model_file import SUFFIX, Model, Origin, rounded, write_model
    from trm_scaling.train.weights import load_weights

    if file.suffix != SUFFIX:
        raise UserError(f"{file}: the name of a model file ends in {SUFFIX}")
    run = open_run(name, profile, study)
    if not run.folder.finished:
        raise UserError(f"{run.folder.path} is not finished: a model file says what its weights solve")
    record = read_record(run.folder.result)
    weights, step = load_weights(run.folder, run.config, "best")
    averaged = weights.ema is not None
    tensors = to_public(run.config.arch, weights.answering(averaged), weights.buffers)
    halves = rounded(tensors, str(run.folder.path))
    solved, puzzles = _tested(run, halves)
    origin = Origin(
        experiment=record.name,
        profile=record.profile,
        identity=record.identity,
        seed=record.seed,
        step=step,
        averaged=averaged,
        commit=record.commit,
        uncommitted_changes=record.uncommitted_changes,
        data_fingerprint=record.data_fingerprint,
        solved=solved,
        puzzles=puzzles,
    )
    write_model(file, Model(run.config, halves, origin))
    typer.echo(f"wrote {file}, {file.stat().st_size / 1000:,.0f} kB: it solves {solved:,} of {puzzles:,}")


def _tested(run: "OpenedRun", tensors: "dict[str, np.ndarray]") -> tuple[int, int]:
    """Solved and all test puzzles of the run, by the rounded weights."""
    from trm_scaling.cli.progress import shown_progress
    from trm_scaling.puzzles.build import ensure_dataset
    from trm_scaling.train.evaluate import Evaluator
    from trm_scaling.train.weights import weights_from_public

    test = ensure_dataset(run.config.data, run.study.data_root).test
    weights = weights_from_public(run.config, tensors, str(run.folder.path))
    with shown_progress() as progress:
        outcomes = Evaluator(run.config)(weights.params, weights.buffers, test, progress=progress)
    final = outcomes.summary()["final"]
    return int(final["solved"]), int(final["puzzles"])
