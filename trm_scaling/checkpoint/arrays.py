"""Orbax, as it is used here: a flat dictionary of arrays in a folder."""

import errno
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from trm_scaling.io.disk_errors import os_errors_explained

_NEVER = 10 * 365 * 24 * 3600
"""Seconds. Orbax counts its timeout by the clock on the wall, whose jump would fail a save that goes well;
and how long a slow file system may take is nothing that it could know."""
_OS_ERROR = re.compile(r"os_error_code='(\d+)'")
_MENDABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


class ArrayWriter:
    """Writes dictionaries of arrays, one at a time, in the background."""

    def __init__(self) -> None:
        _quieten()
        # Made in the background, a folder that cannot be made is noticed only after a timeout.
        options = ocp.AsyncOptions(create_directories_asynchronously=False, timeout_secs=_NEVER)
        self._checkpointer = ocp.StandardCheckpointer(async_options=options)
        self._folder = Path()
        self._bytes = 0

    def start(self, folder: Path, leaves: dict[str, Any]) -> None:
        """Begin to write; returns when the leaves may be donated or overwritten.

        Raises `UserError` when the disk is full, read-only or forbidden.
        """
        self._folder = folder.absolute()
        self._bytes = sum(leaf.nbytes for leaf in leaves.values())
        with self._errors_explained():
            # Known beforehand is better than found half-way: nothing has been written yet.
            if shutil.disk_usage(self._folder.parent.parent).free < self._bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._checkpointer.save(self._folder, _storable(leaves))

    def finish(self) -> None:
        """Wait until all is on the disk. Raises as `start` does."""
        with self._errors_explained():
            self._checkpointer.wait_until_finished()

    def close(self) -> None:
        """Free Orbax's threads. Raises as `start` does: Orbax writes its last file here."""
        with self._errors_explained():
            self._checkpointer.close()

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        with os_errors_explained(self._folder, "write the checkpoint", self._bytes):
            try:
                yield
            except ValueError as error:
                if (code := _os_error_in(str(error))) is None:
                    raise
                raise OSError(code, str(error)) from error


def _os_error_in(text: str) -> int | None:
    """The operating system's error that TensorStore gives as text: by its code, or in words alone."""
    if found := _OS_ERROR.search(text):
        return int(found[1])
    return next((code for code in _MENDABLE if os.strerror(code) in text), None)


def read_arrays(folder: Path, like: dict[str, Any]) -> dict[str, Any]:
    """The arrays of `folder`, each placed as its namesake in `like`.

    numpy arrays come back as numpy, JAX arrays and shapes with their sharding, and shapes without
    one on the default device.
    """
    _quieten()
    targets = {name: _target(leaf) for name, leaf in like.items()}
    empty = {name: _empty(target) for name, target in targets.items() if target.size == 0}
    wanted = _storable(targets)
    arguments = ocp.args.PyTreeRestore(
        wanted,
        restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
        # The folder may hold more arrays than are wanted; what is missing was found before.
        partial_restore=True,
    )
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        return checkpointer.restore(folder.absolute(), arguments) | empty


def _storable(leaves: dict[str, Any]) -> dict[str, Any]:
    # Orbax refuses arrays without elements; their shape, which is kept apart, says it all.
    return {name: leaf for name, leaf in leaves.items() if leaf.size > 0}


def _target(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return leaf
    default = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding or default)


def _empty(target: Any) -> Any:
    zeros = np.zeros(target.shape, target.dtype)
    return zeros if isinstance(target, np.ndarray) else jax.device_put(zeros, target.sharding)


def _quieten() -> None:
    for name in ("absl", "asyncio"):
        logging.getLogger(name).addFilter(_is_worth_saying)


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """False for Orbax's progress, and for its errors that are raised again to us."""
    if record.name == "asyncio":
        # Of several files that cannot be written, Orbax raises the error of one and forgets the others.
        return "exception was never retrieved" not in record.getMessage()
    if "orbax" not in Path(record.pathname).parts:
        return True
    return record.levelno >= logging.WARNING and not record.exc_info
