"""Devices that are not there, for compiling ahead of time: a TPU slice, a GPU.

libtpu describes a slice by its name; XLA's CUDA compiler takes a GPU's figures (`h200.txtpb`). Both compile
on any machine, and nothing runs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import jax
from jax.experimental import topologies

from trm_scaling.errors import UserError

DescribedName = Literal["h200", "v4-8", "v4-16", "v4-32", "v4-64"]


@dataclass(frozen=True)
class _Slice:
    name: str
    """In libtpu's words: chips along each axis of the torus."""
    hosts: int
    """Each has 2 x 2 x 1 chips."""


_SLICES: Mapping[str, _Slice] = {
    "v4-8": _Slice("v4:2x2x1", 1),
    "v4-16": _Slice("v4:2x2x2", 2),
    "v4-32": _Slice("v4:2x2x4", 4),
    "v4-64": _Slice("v4:4x4x2", 8),
}

_ENVIRONMENT = {
    # Otherwise libtpu asks the metadata server of a cloud machine what it is part of,
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    # and lets no second process load it, since it would own the TPU; here nobody does.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    # Otherwise JAX's CUDA plug-in looks for a driver, and is not registered without one.
    "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

_NEEDS = {
    "gpu": "XLA's CUDA compiler (Linux): pip install -c requirements/constraints.txt -e '.[gpu]'",
    "tpu": "libtpu (x86-64 Linux): pip install -c requirements/constraints.txt -e '.[tpu]'",
}


def described_devices(name: DescribedName) -> list[jax.Device]:
    """The devices of `name` as a run on it would see them: one GPU, or one device a TPU chip (both
    TensorCores fused).

    Sets variables of this process's environment, and has to be called before JAX looks for devices. Raises
    UserError where the compiler for it is not installed.
    """
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    backend = "gpu" if name == "h200" else "tpu"
    try:
        return _gpu(name) if backend == "gpu" else _slice(name)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise UserError(
            f"{name} cannot be described here: {str(error).splitlines()[0]}; compiling for it takes "
            f"{_NEEDS[backend]}"
        ) from error


def _gpu(name: str) -> list[jax.Device]:
    figures = files(__package__).joinpath(f"{name}.txtpb").read_text(encoding="utf-8")
    described = topologies.get_topology_desc(
        platform="cuda", topology_name=name, target_config=figures, topology="1x1x1"
    )
    return list(described.devices)


def _slice(name: str) -> list[jax.Device]:
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", name)
    described = _SLICES[name]
    devices: list[jax.Device] = list(
        topologies.get_topology_desc(
            platform="tpu",
            topology_name=described.name,
            chip_config_name="megacore",
            chips_per_host_bounds=(2, 2, 1),
        ).devices
    )
    hosts = len({device.process_index for device in devices})
    assert hosts == described.hosts, f"libtpu describes {name} with {hosts} hosts"
    return devices
