"""A run folder around weights that were trained elsewhere."""

from collections.abc import Mapping
from dataclasses import replace

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
from trm_scaling.train.weights import weights_from_public, weights_like


def import_weights(
    study: Study, config: RunConfig, tensors: Mapping[str, np.ndarray], where: str
) -> RunFolder:
    """Save public `tensors` as the only checkpoint of a run called `config.name`.

    The public checkpoints hold the moving average, so it becomes both the average and the current
    weights. Raises UserError when a tensor is missing, unknown or of another shape, or when a run
    of that name and configuration is there already.
    """
    weights, like = weights_from_public(config, tensors, where), weights_like(config)
    if like.ema is not None:
        weights = replace(weights, ema={name: weights.params[name] for name in like.ema})
    folder = study.run_folder(config.profile, config.name, identity(config), config.seed)
    if folder.config.exists():
        raise UserError(f"{folder.path} is there already: choose another --name, or move it away")
    with folder.lock(), CheckpointStore(folder.checkpoints, keep=1) as store:
        folder.record_provenance(collect_provenance([device.device_kind for device in jax.devices()]))
        store.save(0, weights, {"imported_from": where}, score=None)
        store.wait()
        write_json(folder.imported, {"from": where})
        # Last: the configuration is what makes the folder a run.
        write_text(folder.config, dump(config))
    return folder
