"""`trm import-torch` and `trm export-torch`: weights from and to the public PyTorch code."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trm_scaling.cli.options import Overrides, Profile, RunName, StudyFolder, chosen_profile, open_run
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    import numpy as np

IMPORT_HELP = """
Make a run folder from a public TRM checkpoint (a PyTorch file, .safetensors or .npz), so that
`trm eval` and `trm solve` work on it. What the file does not hold, such as arch.L_cycles, comes from the
profile and the overrides; a shape that does not fit is refused.

\b
Examples:
  trm import-torch step_65000 --name public-mlp --profile paper
  trm import-torch w.safetensors --name mine arch.L_cycles=4
  trm import-torch step_50000 --name public-maze --like maze_baseline
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
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
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
    folder = import_weights(found, config, read_tensors(file), str(file))
    typer.echo(f"imported {file} as {folder.path}")
    typer.echo(f"next: trm eval {name} --profile {config.profile}")


def export_torch(
    name: RunName,
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    at: Annotated[
        Literal["best", "last"], typer.Option(help="Checkpoint: best on validation, or the newest.")
    ] = "best",
    current: Annotated[
        bool, typer.Option("--current", help="The current weights, not the moving average.")
    ] = False,
    prefix: Annotated[
        str, typer.Option(help="Stands before every name; the public script loads the default.")
    ] = "_orig_mod.model.",
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
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
    from trm_scaling.io.explain import os_errors_explained
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
