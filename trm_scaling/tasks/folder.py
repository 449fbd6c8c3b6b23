"""A folder that appears whole or not at all, built by one process at a time, and who is told how it goes."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.io.atomic import sync_folder
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.io.lease import take_lock

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, units done, units in all); often, and always at the end."""


def silent(phase: str, done: int, total: int) -> None:
    """The progress of a caller who wants none."""


_DATASET_FILES = ("manifest.json", "train/dataset.json")
"""A folder with one of these is a dataset, ours or the public code's."""


def check_target(folder: Path, replace: bool) -> None:
    """Raise UserError unless a dataset may be built at `folder`: it is free, or a dataset to `replace`."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not any((folder / name).is_file() for name in _DATASET_FILES):
        raise UserError(
            f"{folder} exists and is no dataset, so it is left alone; choose another --output-dir"
        )
    if not replace:
        raise UserError(
            f"{folder} already holds a dataset, and not this one; "
            "add --force to replace it, or choose another folder"
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the right to build `folder`, waiting for another process that has it.

    The lock is a hidden file beside the folder. The system drops it when its holder dies.
    """
    with os_errors_explained(folder, "write"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = (folder.parent / f".{folder.name}.lock").open("w")
    with file:
        take_lock(file.fileno(), wait=True)
        yield


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its name when the block ends without an error.

    Call it while `locked`: what a killed build left behind is removed first. A folder of the same
    name is replaced, and removed last.

    Raises:
        UserError: the disk is full, read-only or forbidden; then nothing has changed.
    """
    partial = folder.parent / f".{folder.name}.partial"
    replaced = folder.parent / f".{folder.name}.replaced"
    with os_errors_explained(folder, "write"):
        for leftover in (partial, replaced):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            for path in [*partial.rglob("*"), partial]:
                _sync(path)
            if folder.exists():
                os.replace(folder, replaced)
            os.replace(partial, folder)
            sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        shutil.rmtree(replaced, ignore_errors=True)


def set_aside(folder: Path) -> Path:
    """Rename a damaged folder, and keep it. Call it while `locked`. Returns its new place.

    Raises UserError when the disk refuses.
    """
    number = 1
    while (aside := folder.with_name(f"{folder.name}.damaged-{number}")).exists():
        number += 1
    with os_errors_explained(folder, "set aside"):
        os.rename(folder, aside)
        sync_folder(folder.parent)
    return aside


def _sync(path: Path) -> None:
    if path.is_dir():
        sync_folder(path)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
