"""Opening a dataset folder, whichever layout it has."""

from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.tasks.compact_layout import read_compact
from trm_scaling.tasks.dataset import MANIFEST, Dataset
from trm_scaling.tasks.manifest import DamagedDataset
from trm_scaling.tasks.public_layout import is_public, read_public


def open_dataset(path: Path) -> Dataset:
    """Open a dataset folder, ours or the public code's, and check that it is whole.

    Raises:
        DamagedDataset: no dataset, another format version, a missing or damaged file.
        UserError: no such folder, or contents that are no Sudoku.
    """
    with os_errors_explained(path, "read"):
        if not path.is_dir():
            raise UserError(
                f"no dataset folder at {path}; build one with `trm data sudoku --output-dir {path}`"
            )
        if is_public(path):
            return read_public(path)
        if (path / MANIFEST).is_file():
            return read_compact(path)
    raise DamagedDataset(
        f"{path} is no dataset folder: it has neither {MANIFEST} nor the public layout's train/dataset.json",
        "build one with `trm data sudoku --output-dir ...`, or name another folder",
    )
