"""A run folder around weights that were trained elsewhere."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from trm_scaling.checkpoint.store import CheckpointStore
from trm_scaling.config import RunConfig
from trm_scaling.config.compose import dump
from trm_scaling.config.identity import identity
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json, write_text
from trm_scaling.io.provenance import collect_provenance
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.tasks.task import task_class
from trm_scaling.train.weights import weights_from_public, weights_like


def import_weights(
    study: Study,
    config: RunConfig,
    tensors: Mapping[str, np.ndarray],
    where: str,
    identifiers: Path | None = None,
) -> RunFolder:
    """Save public `tensors` as the only checkpoint of a run called `config.name`.

    The public checkpoints hold the moving average, so it becomes both the average and the current
    weights. `identifiers`: the map of the table's rows, where the task's table has several. Raises UserError
    when a tensor is missing, unknown or of another shape, when that map is, and when a run of that name and
    configuration is there already.
    """
    attached = _map_of_rows(config, where, identifiers)
    weights, like = weights_from_public(config, tensors, where), weights_like(config)
    if like.ema is not None:
        weights = replace(weights, ema={name: weights.params[name] for name in like.ema})
    folder = study.run_folder(config.profile, config.name, identity(config), config.seed)
    if folder.config.exists():
        raise UserError(f"{folder.path} is there already: choose another --name, or move it away")
    with folder.lock(), CheckpointStore(folder.checkpoints, keep=1, attached=attached) as store:
        folder.record_provenance(collect_provenance([device.device_kind for device in jax.devices()]))
        store.save(0, weights, {"imported_from": where}, score=None)
        store.wait()
        write_json(folder.imported, {"from": where})
        # Last: the configuration is what makes the folder a run.
        write_text(folder.config, dump(config))
    return folder


def _map_of_rows(config: RunConfig, where: str, identifiers: Path | None) -> dict[str, bytes]:
    """What goes with the checkpoint beside the weights, by name."""
    task = task_class(config.data.task)
    if identifiers is not None:
        name, content = task.read_map(identifiers)
        return {name: content}
    if task.maps_ids and config.arch.puzzle_emb_ndim:
        raise UserError(
            f"{where}: the rows of the puzzle embeddings are of augmented puzzles, and nothing says which: "
            "give --identifiers the identifiers.json of the dataset that they were trained on"
        )
    return {}
