"""`trm export`: a finished run as one small file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import Profile, RunName, StudyFolder, open_run

if TYPE_CHECKING:
    import numpy as np

    from trm_scaling.cli.options import OpenedRun
    from trm_scaling.tasks.dataset import Split

HELP = """
Write the best checkpoint of a finished run, or imported weights, as one small file that needs no study:
weights in float16, configuration, and where they come from. `trm solve FILE` answers with it.

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
    from trm_scaling.config.identity import identity
    from trm_scaling.errors import UserError
    from trm_scaling.models.interchange import to_public
    from trm_scaling.results.record import read_record
    from trm_scaling.shipped.model_file import SUFFIX, Model, Origin, rounded, write_model
    from trm_scaling.tasks.build import ensure_dataset
    from trm_scaling.train.weights import load_weights

    if file.suffix != SUFFIX:
        raise UserError(f"{file}: the name of a model file ends in {SUFFIX}")
    run = open_run(name, profile, study)
    is_imported = run.folder.imported.is_file()
    if not (run.folder.finished or is_imported):
        raise UserError(f"{run.folder.path} is not finished: a model file says what its weights solve")
    record = None if is_imported else read_record(run.folder.result)
    weights, step = load_weights(run.folder, run.config, "best")
    averaged = weights.ema is not None
    tensors = to_public(run.config.arch, weights.answering(averaged), weights.buffers)
    halves = rounded(tensors, str(run.folder.path))
    dataset = ensure_dataset(run.config.data, run.study.data_root)
    solved, puzzles = _tested(run, halves, dataset.test)
    origin = Origin(
        experiment=run.config.name if record is None else record.name,
        profile=run.config.profile,
        identity=identity(run.config),
        seed=run.config.seed,
        step=step,
        averaged=averaged,
        # Nothing is known here of the code and the data that imported weights were trained with.
        commit=None if record is None else record.commit,
        uncommitted_changes=None if record is None else record.uncommitted_changes,
        data_fingerprint=dataset.fingerprint if record is None else record.data_fingerprint,
        solved=solved,
        puzzles=puzzles,
    )
    write_model(file, Model(run.config, halves, origin))
    typer.echo(f"wrote {file}, {file.stat().st_size / 1000:,.0f} kB: it solves {solved:,} of {puzzles:,}")


def _tested(run: "OpenedRun", tensors: "dict[str, np.ndarray]", test: "Split") -> tuple[int, int]:
    """Solved and all test puzzles of the run, by the rounded weights."""
    from trm_scaling.cli.progress import shown_progress
    from trm_scaling.evaluation.score import Evaluator
    from trm_scaling.train.weights import weights_from_public

    weights = weights_from_public(run.config, tensors, str(run.folder.path))
    with shown_progress() as progress:
        outcomes = Evaluator(run.config)(weights.params, weights.buffers, test, progress=progress)
    final = outcomes.summary()["final"]
    return int(final["solved"]), int(final["puzzles"])
