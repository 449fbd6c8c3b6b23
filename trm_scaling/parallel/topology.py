"""Devices of a TPU slice that is not there, for compiling ahead of time.

libtpu describes a slice by its name and compiles for it on any machine; nothing runs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import jax
from jax.experimental import topologies

from trm_scaling.errors import UserError

SliceName = Literal["v4-8", "v4-64"]


@dataclass(frozen=True)
class _Slice:
    name: str
    """In libtpu's words: chips along each axis of the torus."""
    hosts: int
    """Each has 2 x 2 x 1 chips."""


_SLICES: Mapping[SliceName, _Slice] = {"v4-8": _Slice("v4:2x2x1", 1), "v4-64": _Slice("v4:4x4x2", 8)}

_ENVIRONMENT = {
    # Otherwise libtpu asks the metadata server of a cloud machine what it is part of,
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    # and lets no second process load it, since it would own the TPU; here nobody does.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def described_devices(slice_name: SliceName) -> list[jax.Device]:
    """The devices of that slice, one a chip (both TensorCores fused), as a run on it would see them.

    Sets variables of this process's environment. Raises UserError without libtpu.
    """
    for name, value in {**_ENVIRONMENT, "TPU_ACCELERATOR_TYPE": slice_name}.items():
        os.environ.setdefault(name, value)
    described = _SLICES[slice_name]
    try:
        found = topologies.get_topology_desc(
            platform="tpu",
            topology_name=described.name,
            chip_config_name="megacore",
            chips_per_host_bounds=(2, 2, 1),
        ).devices
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise UserError(
            f"{slice_name} cannot be described here: {str(error).splitlines()[0]}; compiling for it takes "
            "libtpu (x86-64 Linux): pip install -c requirements/constraints.txt -e '.[tpu]'"
        ) from error
    devices: list[jax.Device] = list(found)
    hosts = len({device.process_index for device in devices})
    assert hosts == described.hosts, f"libtpu describes {slice_name} with {hosts} hosts"
    return devices
