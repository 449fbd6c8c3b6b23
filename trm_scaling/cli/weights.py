"""Weights to answer with: a run of the study, a model file, or a model that comes with the package."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trm_scaling.cli.options import open_run
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.config import RunConfig
    from trm_scaling.io.run_folder import RunFolder
    from trm_scaling.tasks.dataset import Dataset, Split
    from trm_scaling.train.weights import Weights


@dataclass(frozen=True)
class OpenedWeights:
    """What a verb answers with, and on which puzzles."""

    config: "RunConfig"
    """Of the run, with the puzzles that were asked for."""
    trained: "RunConfig"
    """Of the run as it was."""
    weights: "Weights"
    step: int
    """Training steps that made them."""
    dataset: "Dataset"
    source: str
    """The folder or file."""
    folder: "RunFolder | None"
    """None of a model file."""
    at: Literal["best", "last", "file"]

    def puzzles(self, split: Literal["test", "val"]) -> "Split":
        """The held-out puzzles of that split."""
        return self.dataset.test if split == "test" else self.dataset.val


def open_weights(
    name: str,
    profile: str | None,
    study: Path | None,
    at: Literal["best", "last"] = "best",
    overrides: Sequence[str] = (),
) -> OpenedWeights:
    """The weights that `name` means, and their puzzles or those that `overrides` (of `data.`) describe.

    The puzzles of a model file lie in the study's data folder, else in `./data`. Raises UserError as
    `open_run`, and for overrides of anything but the puzzles.
    """
    from trm_scaling.shipped.model_file import model_path

    file = model_path(name)
    if file is not None:
        return _of_file(file, study, overrides)
    from trm_scaling.tasks.build import ensure_dataset
    from trm_scaling.train.weights import check_table, load_weights

    run = open_run(name, profile, study)
    weights, step = load_weights(run.folder, run.config, at)
    check_table(run.folder, step, run.config.data, run.study.data_root)
    config = on_puzzles(run.config, overrides)
    dataset = ensure_dataset(config.data, run.study.data_root)
    return OpenedWeights(config, run.config, weights, step, dataset, str(run.folder.path), run.folder, at)


def _of_file(file: Path, study: Path | None, overrides: Sequence[str]) -> OpenedWeights:
    from trm_scaling.cli.options import study_if_any
    from trm_scaling.run.compilation import configure_jax
    from trm_scaling.shipped.model_file import read_model
    from trm_scaling.tasks.build import ensure_dataset

    model = read_model(file)
    configure_jax()
    from trm_scaling.train.weights import weights_from_public

    weights = weights_from_public(model.config, model.tensors, str(file))
    config, found = on_puzzles(model.config, overrides), study_if_any(study)
    dataset = ensure_dataset(config.data, Path() if found is None else found.data_root)
    return OpenedWeights(config, model.config, weights, model.origin.step, dataset, file.name, None, "file")


def on_puzzles(config: "RunConfig", overrides: Sequence[str]) -> "RunConfig":
    """`config` with other puzzles of the same task and size. Raises UserError for another override."""
    from trm_scaling.config.overrides import parsed
    from trm_scaling.config.validate import validate
    from trm_scaling.tasks.task import spec_of

    values = parsed(overrides)
    if other := [key for key in values if not key.startswith("data.") and key != "system.eval_batch_size"]:
        raise UserError(
            f"{other[0]}: weights are evaluated as they were trained; only data.* (which puzzles) and "
            "system.eval_batch_size can be changed here"
        )
    changed = config.model_dump(mode="json")
    for key, value in values.items():
        part, name = key.split(".", 1)
        changed[part][name] = value
    found = validate(changed, "the overrides")
    if spec_of(found.data) != spec_of(config.data):
        raise UserError(
            f"the weights answer puzzles of {spec_of(config.data)}, and the overrides describe "
            f"{spec_of(found.data)}: choose puzzles of the same kind and size"
        )
    return found
