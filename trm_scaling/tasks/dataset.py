"""A dataset folder as the rest of the laboratory sees it: three splits of tokens and a manifest."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from trm_scaling.errors import UserError
from trm_scaling.tasks.embedded import EmbeddedAugmentations
from trm_scaling.tasks.manifest import SPLIT_NAMES, Manifest, SplitName, damaged
from trm_scaling.tasks.task import Task, TaskSpec, task_class

MANIFEST = "manifest.json"

Tokens = NDArray[np.uint8]

_NO_FILES: Mapping[str, bytes] = {}


@dataclass(frozen=True, eq=False)
class Split:
    """N rows: tokens [N, C] of puzzle and label, where 0 is not scored, and two numbers [N] of each row."""

    inputs: Tokens
    labels: Tokens
    difficulty: NDArray[np.int32] | None = None
    """In the task's own unit (`Task.difficulty`); None where the folder has none."""
    puzzle_ids: NDArray[np.int32] = None  # type: ignore[assignment]  # zeros where none are given
    """The row of the puzzle embeddings that a puzzle has; all 0 by default."""

    def __post_init__(self) -> None:
        given: NDArray[np.int32] | None = self.puzzle_ids
        if given is None:
            object.__setattr__(self, "puzzle_ids", np.zeros(len(self.inputs), dtype=np.int32))

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: NDArray[np.integer] | slice) -> "Split":
        """These rows, in their order."""
        difficulty = None if self.difficulty is None else self.difficulty[rows]
        return Split(self.inputs[rows], self.labels[rows], difficulty, self.puzzle_ids[rows])


@dataclass(frozen=True, eq=False)
class Dataset:
    """An opened dataset. In the compact layout a row of `train` is a puzzle, augmented on the device.

    In the public layout `train` holds every stored augmentation, and `group_start` [G + 1] tells
    which rows are images of one puzzle: puzzle g has the rows group_start[g] .. group_start[g + 1] - 1.
    `sampler.train_rows` hides the difference.
    """

    path: Path
    manifest: Manifest
    train: Split
    val: Split
    test: Split
    group_start: NDArray[np.int64] | None = None

    @cached_property
    def task(self) -> Task:
        return task_for(self.path, self.manifest.task, self.manifest.board)

    @cached_property
    def embedded(self) -> EmbeddedAugmentations | None:
        """The augmentations, where each has puzzle embeddings of its own."""
        return self.task.embedded(self)

    @cached_property
    def spec(self) -> TaskSpec:
        """The sizes of the task, with the puzzle identifiers that these puzzles have."""
        used = 1 + max(int(each.puzzle_ids.max(initial=0)) for each in (self.train, self.val, self.test))
        spec = self.task.spec
        return spec._replace(num_puzzle_ids=max(used, spec.num_puzzle_ids))

    @property
    def seq_len(self) -> int:
        """Cells of a puzzle (C)."""
        return self.spec.seq_len

    @property
    def vocab_size(self) -> int:
        return self.spec.vocab_size

    @property
    def num_puzzle_ids(self) -> int:
        """Rows of the puzzle-embedding table."""
        return self.spec.num_puzzle_ids

    @property
    def num_puzzles(self) -> int:
        """Distinct training puzzles, before augmentation."""
        return len(self.train) if self.group_start is None else len(self.group_start) - 1

    @property
    def num_aug(self) -> int:
        """Augmentations of each training puzzle beside itself (public layout: the most of any)."""
        return self.manifest.num_aug

    @cached_property
    def group_size(self) -> int | None:
        """Stored images of each puzzle in the public layout; None where puzzles differ in it."""
        sizes = np.diff(self.group_start) if self.group_start is not None else np.ones(1, np.int64)
        return int(sizes[0]) if (sizes == sizes[0]).all() else None

    @property
    def augmentation_seed(self) -> int:
        """Seed of the augmentations made on the device: the dataset's own, so that all layouts agree."""
        return self.manifest.seed or 0

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @property
    def test_fingerprint(self) -> str:
        """The content of the test split alone: runs that have it alike answered the same puzzles in the
        same order, whatever they were trained on.
        """
        return fingerprint(self.task, 0, {"test": self.test})


def task_for(path: Path, name: str, board: Mapping[str, Any]) -> Task:
    """The task `name` of the dataset at `path`, whose puzzles have the form `board`.

    Raises DamagedDataset for a form that the task does not have.
    """
    try:
        task = task_class(name)
        return task(task.description.model_validate({"path": str(path), **board}))
    except (UserError, ValidationError) as error:
        raise damaged(
            path, f"no {name} has the form {dict(board)} ({str(error).splitlines()[-1]})"
        ) from error


def fingerprint(
    task: Task, num_aug: int, splits: dict[SplitName, Split], files: Mapping[str, bytes] = _NO_FILES
) -> str:
    """The content of `splits`, and of further `files` of the task's, as a sha256: equal for equal splits,
    whatever wrote them when.
    """
    form = "x".join(str(value) for value in task.board.values())
    digest = hashlib.sha256(f"{task.data.task} {form} num_aug={num_aug}".encode())
    for name in [name for name in SPLIT_NAMES if name in splits]:
        split = splits[name]
        digest.update(f" {name}={len(split)}".encode())
        digest.update(np.ascontiguousarray(split.inputs).data)
        digest.update(np.ascontiguousarray(split.labels).data)
        if split.difficulty is not None:
            digest.update(split.difficulty.astype("<i4").tobytes())
        if split.puzzle_ids.any():
            digest.update(split.puzzle_ids.astype("<i4").tobytes())
    for file, content in sorted(files.items()):
        digest.update(f" {file} {hashlib.sha256(content).hexdigest()}".encode())
    return digest.hexdigest()


def check_split(path: Path, split: Split, task: Task) -> None:
    """Refuse arrays that are no puzzles of `task`: models would train on them without a word.

    Raises:
        DamagedDataset: wrong shape or type, tokens out of range, or what `Task.check` refuses.
    """
    spec = task.spec
    expected = (len(split.inputs), spec.seq_len)
    for name, array in (("inputs", split.inputs), ("labels", split.labels)):
        if array.dtype != np.uint8 or array.shape != expected:
            raise damaged(path, f"{name} is {array.dtype} {array.shape}, not uint8 {expected}")
        if array.size and array.max() >= spec.vocab_size:
            raise damaged(path, f"{name} has tokens up to {array.max()}, not {spec.vocab_size - 1}")
    for name, numbers in (("difficulty", split.difficulty), ("puzzle_ids", split.puzzle_ids)):
        if numbers is not None and numbers.shape != expected[:1]:
            raise damaged(path, f"{name} has shape {numbers.shape}, not {expected[:1]}")
    if (split.puzzle_ids < 0).any():
        raise damaged(path, "a puzzle identifier is negative")
    task.check(path, split)
