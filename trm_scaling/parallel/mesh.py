"""The devices of a run as a grid: (data, model).

Every device works on its own share of the batch. `model` devices hold one copy of parameters, moments
and average between them, `system.parameter_shards` many; with one, each device holds a whole copy.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError

DATA, MODEL = "data", "model"


def make_mesh(config: RunConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The mesh of a run over `devices`: all devices of all hosts by default, or `system.devices` of them.

    Raises UserError when there are fewer devices than the configuration names, when it names some of
    the devices of several hosts, and when the batch or the shards do not divide.
    """
    found = list(jax.devices() if devices is None else devices)
    used = found[: config.system.devices]
    wanted, shards, batch = config.system.devices, config.system.parameter_shards, config.global_batch_size
    if wanted is not None and wanted > len(found):
        raise UserError(f"system.devices={wanted}, but there are {len(found)} devices here: lower it")
    if len(used) < len(found) and len({device.process_index for device in found}) > 1:
        raise UserError(
            f"system.devices={wanted} leaves out some of the {len(found)} devices of several processes, and "
            "a process without a device has nothing to do: leave it out, or start fewer processes"
        )
    if len(used) % shards:
        raise UserError(
            f"system.parameter_shards={shards} does not divide the {len(used)} devices: choose a divisor"
        )
    if batch % len(used):
        raise UserError(
            f"global_batch_size={batch} does not divide over {len(used)} devices: choose a multiple of "
            f"{len(used)} (another run), or use system.devices={_most_dividing(batch, len(used))} of them"
        )
    return device_mesh(used, shards)


def device_mesh(devices: Sequence[jax.Device], shards: int = 1) -> Mesh:
    """The mesh of `devices`, which `shards` divides."""
    return Mesh(np.array(devices).reshape(-1, shards), (DATA, MODEL), axis_types=(AxisType.Auto,) * 2)


def platform_of(mesh: Mesh | None) -> str | None:
    """What a program over `mesh` is compiled for (`cpu`, `gpu`, `tpu`); None without a mesh."""
    return None if mesh is None else str(mesh.devices.flat[0].platform)


def _most_dividing(batch: int, most: int) -> int:
    return next(count for count in range(most, 0, -1) if batch % count == 0)
