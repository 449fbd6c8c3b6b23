"""Opening a dataset folder, whichever layout it has, and fitting one to the configuration that names it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from trm_scaling.config.data import DataConfig
from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.tasks.compact_layout import read_compact
from trm_scaling.tasks.dataset import MANIFEST, Dataset
from trm_scaling.tasks.manifest import DamagedDataset
from trm_scaling.tasks.public_layout import is_public
from trm_scaling.tasks.task import TaskName, task_class, task_of


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


def open_named(config: DataConfig, root: Path) -> Dataset:
    """The folder `config.path`, relative to `root`.

    A folder without validation puzzles (the public builder makes none) gives up its last
    `config.val_size` training puzzles for them.

    Raises UserError as `open_dataset`, and for boards of another shape than the configuration's, for
    too few puzzles to give up, and for a folder without test puzzles.
    """
    assert config.path is not None
    dataset = open_dataset(root / config.path)
    wanted = task_of(config)
    if (dataset.task.data.task, dataset.task.board) != (config.task, wanted.board):
        asked = {f"data.{field}": value for field, value in wanted.board.items()}
        raise UserError(
            f"{dataset.path} holds {dataset.task.title} ({_said(dataset.task.board)}), but "
            f"data.task={config.task} and {_said(asked)} were asked for; set them to the dataset's"
        )
    if len(dataset.test) == 0:
        raise UserError(f"{dataset.path} has no test puzzles to report on; build it with --test-size")
    return dataset if len(dataset.val) else _with_validation(dataset, config.val_size)


def _with_validation(dataset: Dataset, size: int) -> Dataset:
    """The last `size` training puzzles, as they are without augmentation, become the validation split."""
    kept = dataset.num_puzzles - size
    if kept < 1:
        raise UserError(
            f"{dataset.path} has no validation puzzles and {dataset.num_puzzles} training puzzles, of which "
            f"data.val_size={size} cannot be set aside; lower data.val_size"
        )
    train, starts = dataset.train, dataset.group_start
    # The first stored row of a group is the puzzle itself.
    rows = np.arange(kept, dataset.num_puzzles) if starts is None else starts[kept:-1]
    val = train.take(rows)
    if starts is not None:
        return replace(dataset, val=val, group_start=starts[: kept + 1])
    return replace(dataset, val=val, train=train.take(slice(kept)))


def _said(board: Mapping[str, Any]) -> str:
    return ", ".join(f"{field}={value}" for field, value in board.items())
