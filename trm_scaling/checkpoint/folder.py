"""The names in a folder of checkpoints, and the renames by which a step appears and goes.

    00001200/             a finished checkpoint: arrays/ (Orbax's) and checkpoint.json
    00001300.partial/     being written, or left by a process that died: it does not count
    00001100.removed/     being deleted
    00001000.damaged-1/   set aside because a file in it was not as written

A step exists from the rename of its `.partial` folder on, which comes last; so it is whole or
not there, whenever the process dies.
"""

import os
import re
import shutil
from pathlib import Path

from trm_scaling.errors import Damage
from trm_scaling.io.atomic import sync_folder

_FINISHED = re.compile(r"\d{8,}")
_LEFTOVER = re.compile(r"\d{8,}\.(partial|removed)")


class DamagedCheckpoint(Damage):
    """A checkpoint was not as it was written, and an earlier one is used."""


def step_folder(root: Path, step: int) -> Path:
    """Where the finished checkpoint of `step` is."""
    return root / f"{step:08d}"


def partial_folder(root: Path, step: int) -> Path:
    """Where the checkpoint of `step` is while it is written."""
    return root / f"{step:08d}.partial"


def finished_steps(root: Path) -> list[int]:
    """The steps whose checkpoints are finished, rising."""
    if not root.is_dir():
        return []
    return sorted(int(path.name) for path in root.iterdir() if _FINISHED.fullmatch(path.name))


def finish(root: Path, step: int) -> None:
    """Let the step exist: the one commit point."""
    os.rename(partial_folder(root, step), step_folder(root, step))
    sync_folder(root)


def remove(root: Path, step: int) -> None:
    """Delete a finished step; it is gone at once, whatever becomes of its files."""
    doomed = root / f"{step:08d}.removed"
    os.rename(step_folder(root, step), doomed)
    shutil.rmtree(doomed)


def remove_leftovers(root: Path) -> None:
    """Delete what a process that died has left half written or half deleted."""
    for path in root.iterdir():
        if _LEFTOVER.fullmatch(path.name):
            shutil.rmtree(path)


def set_aside(root: Path, step: int) -> Path:
    """Rename a damaged step so that it no longer counts, and keep it. Returns its new place."""
    number = 1
    while (aside := root / f"{step:08d}.damaged-{number}").exists():
        number += 1
    os.rename(step_folder(root, step), aside)
    sync_folder(root)
    return aside
