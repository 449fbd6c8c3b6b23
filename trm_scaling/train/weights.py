"""The part of a run that answers puzzles: parameters, their average, the initial states."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from trm_scaling.checkpoint.reader import CheckpointReader
from trm_scaling.config import DataConfig, RunConfig
from trm_scaling.errors import UserError
from trm_scaling.evaluation.predict import refuse_nonfinite
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.models.interchange import from_public
from trm_scaling.tasks.build import ensure_dataset
from trm_scaling.tasks.task import spec_of
from trm_scaling.train.state import Params, TrainState, evaluation_params, init_state

Which = Literal["best", "last"]

PRUNED_TRIES = 5


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Weights:
    """Named as in `TrainState`, so that they can be read out of any checkpoint without the rest."""

    params: Params
    ema: Params | None
    buffers: Params

    def answering(self, averaged: bool) -> Params:
        """The parameters to answer with. Raises UserError when an average is asked for and none was kept."""
        if averaged and self.ema is None:
            raise UserError("this run keeps no moving average (ema=false): ask for its current weights")
        return evaluation_params(self.params, self.ema if averaged else None)


def weights_of(state: TrainState) -> Weights:
    """The weights in a training state."""
    return Weights(state.params, state.ema, state.buffers)


def weights_like(config: RunConfig) -> Weights:
    """Shapes and dtypes of the weights of `config`; computes nothing."""
    sizes = spec_of(config.data)[:3]
    return jax.eval_shape(lambda: weights_of(init_state(config, *sizes)))


def weights_from_public(config: RunConfig, tensors: Mapping[str, np.ndarray], where: str) -> Weights:
    """The weights of `config` from tensors under the public code's names; they keep no average.

    Raises UserError when one is missing, unknown, of another shape or not finite; `where` names the source.
    """
    like = weights_like(config)
    params, buffers = from_public(config.arch, tensors, (like.params, like.buffers), where)
    return Weights(jax.tree.map(jnp.asarray, params), None, jax.tree.map(jnp.asarray, buffers))


def check_table(folder: RunFolder, step: int, data: DataConfig, data_root: Path) -> None:
    """Raise UserError unless the puzzle embeddings of a checkpoint belong to the dataset that `data` names.

    Where augmentations have rows of their own, each checkpoint carries the map of what each row is of.
    """
    if spec_of(data).num_puzzle_ids == 1:
        return
    own = ensure_dataset(data, data_root).embedded
    if own is not None:
        found = CheckpointReader(folder.checkpoints).attached(step, own.map_name)
        own.check_table(found, f"{folder.path}, checkpoint of step {step}")


def load_weights(folder: RunFolder, config: RunConfig, which: Which) -> tuple[Weights, int]:
    """The weights of a run and the step they were taken at: best on validation, or the newest.

    Works while the run is still training. Raises UserError when there is no usable checkpoint, and for
    weights that are not finite.
    """
    reader = CheckpointReader(folder.checkpoints)
    for _ in range(PRUNED_TRIES):
        step = reader.best_step() if which == "best" else None
        step = reader.latest_step() if step is None else step
        if step is None:
            raise UserError(
                f"{folder.path} has no checkpoint yet: train it first, with "
                f"`trm run {config.name} --profile {config.profile}` and the fields its config.yaml changes"
            )
        try:
            weights: Weights = reader.restore_part(step, like=weights_like(config))[0]
        except (UserError, OSError):
            if step in reader.steps():
                raise
            # The run that is training deleted it while it was read: choose again.
            continue
        refuse_nonfinite(weights, f"{folder.path}, checkpoint of step {step}")
        return weights, step
    raise UserError(f"{folder.path} deletes its checkpoints faster than they are read: try again")
