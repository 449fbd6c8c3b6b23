"""`trm export`, `trm import-torch`, `trm export-torch`: weights as one file, and from and to PyTorch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import (
    At,
    Overrides,
    Profile,
    RunName,
    StudyFolder,
    chosen_profile,
    open_run,
    say_first,
)
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from trm_scaling.cli.options import OpenedRun
    from trm_scaling.tasks.dataset import Split

IMPORT_HELP = """
Make a run folder from a public TRM checkpoint (a PyTorch file, .safetensors or .npz), so that
`trm eval` and `trm solve` work on it. What the file does not hold, such as arch.L_cycles, comes from the
profile and the overrides; a shape that does not fit is refused.

\b
Examples:
  trm import-torch step_65000 --name public-mlp --profile paper
  trm import-torch w.safetensors --name mine arch.L_cycles=4
  trm import-torch step_50000 --name public-maze --like maze_baseline
  trm import-torch step_518071 --name public-arc --like arc1_baseline \\
    --identifiers data/arc1/identifiers.json data.path=data/arc1
"""
EXPORT_HELP = """
Write a run's weights under the public PyTorch code's names, as .npz, .safetensors or (any other ending,
extra [torch]) a PyTorch file.

\b
Examples:
  trm export-torch baseline weights.safetensors --profile smoke
  trm export-torch baseline step_400.pt --at last --current
"""


def import_torch(
    file: Annotated[Path, typer.Argument(help="The checkpoint.")],
    overrides: Overrides = None,
    name: Annotated[str, typer.Option(help="What to call the run.")] = "imported",
    like: Annotated[
        str, typer.Option(help="The experiment whose configuration it has: maze_baseline for mazes.")
    ] = "baseline",
    identifiers: Annotated[
        Path | None,
        typer.Option(help="ARC: identifiers.json of the dataset that the puzzle embeddings were trained on."),
    ] = None,
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
    say_first(f"reading {file}")
    from trm_scaling.config.compose import compose
    from trm_scaling.io.study import find_study
    from trm_scaling.models.interchange import read_tensors
    from trm_scaling.run.compilation import configure_jax
    from trm_scaling.train.imported import import_weights

    configure_jax()
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UserError(f"--name {name!r}: use letters, digits, - and _ alone, since it names a folder")
    found = find_study(study)
    if name in found.experiments:
        raise UserError(f"--name {name!r} is an experiment of the study; choose another name")
    config = compose(found.configs, like, chosen_profile(profile), overrides or [])
    config = config.model_copy(update={"name": name})
    folder = import_weights(found, config, read_tensors(file), str(file), identifiers)
    typer.echo(f"imported {file} as {folder.path}")
    typer.echo(f"next: trm eval {name} --profile {config.profile}")


def export_torch(
    name: RunName,
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    at: At = "best",
    current: Annotated[
        bool, typer.Option("--current", help="The current weights, not the moving average.")
    ] = False,
    prefix: Annotated[
        str, typer.Option(help="Stands before every name; the public script loads the default.")
    ] = "_orig_mod.model.",
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
    say_first(f"loading {name}")
    from trm_scaling.models.interchange import to_public
    from trm_scaling.train.weights import load_weights

    run = open_run(name, profile, study)
    weights, step = load_weights(run.folder, run.config, at)
    averaged = weights.ema is not None and not current
    tensors = to_public(run.config.arch, weights.answering(averaged), weights.buffers, prefix)
    _write_whole(file, tensors)
    kind = "moving average" if averaged else "current weights"
    typer.echo(f"wrote {len(tensors)} tensors ({kind} at step {step:,}) to {file}")


def _write_whole(file: Path, tensors: "dict[str, np.ndarray]") -> None:
    """Beside the file first, so that a full disk leaves an older export as it was."""
    from trm_scaling.io.disk_errors import os_errors_explained
    from trm_scaling.models.interchange import write_tensors

    if not file.parent.is_dir():
        raise UserError(f"{file.parent} is not a folder: make it, or name a file in another one")
    partial = file.with_name(f".{file.stem}.partial{file.suffix}")
    try:
        with os_errors_explained(file, "write"):
            write_tensors(partial, tensors)
            partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


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
    say_first(f"loading {name}")
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
    from trm_scaling.evaluation.score import Evaluator
    from trm_scaling.run.reporters import shown_progress
    from trm_scaling.train.weights import weights_from_public

    weights = weights_from_public(run.config, tensors, str(run.folder.path))
    with shown_progress() as progress:
        outcomes = Evaluator(run.config)(weights.params, weights.buffers, test, progress=progress)
    final = outcomes.summary()["final"]
    return int(final["solved"]), int(final["puzzles"])
