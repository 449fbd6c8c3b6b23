"""Opening a dataset folder, whichever layout it has."""

from pathlib import Path
from typing import get_args

from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.tasks.compact_layout import read_compact
from trm_scaling.tasks.dataset import MANIFEST, Dataset
from trm_scaling.tasks.manifest import DamagedDataset
from trm_scaling.tasks.public_layout import is_public
from trm_scaling.tasks.task import TaskName, task_class


def open_dataset(path: Path) -> Dataset:
    """Open a dataset folder, ours or the public code's, and check that it is whole.

    Raises:
        DamagedDataset: no dataset, another format version, a missing or damaged file.
        UserError: no such folder, or contents that are no puzzles of any task.
    """
    with os_errors_explained(path, "read"):
        if not path.is_dir():
            raise UserError(f"no dataset folder at {path}; build one with `trm data ... --output-dir {path}`")
        if is_public(path):
            found = (task_class(name).open_public(path) for name in get_args(TaskName))
            if (dataset := next((each for each in found if each is not None), None)) is not None:
                return dataset
            raise UserError(
                f"{path}: these are the puzzles of no task here ({', '.join(get_args(TaskName))})"
            )
        if (path / MANIFEST).is_file():
            return read_compact(path)
    raise DamagedDataset(
        f"{path} is no dataset folder: it has neither {MANIFEST} nor the public layout's train/dataset.json",
        "build one with `trm data`, or name another folder",
    )
