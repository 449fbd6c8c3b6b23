"""A dataset folder as the rest of the laboratory sees it: three splits of tokens and a manifest."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_scaling.tasks.manifest import SPLIT_NAMES, Manifest, SplitName, damaged
from trm_scaling.tasks.sudoku.board import BLANK_TOKEN, Shape, Tokens

MANIFEST = "manifest.json"


@dataclass(frozen=True, eq=False)
class Split:
    """N puzzles: tokens [N, C] of puzzle and solution, and the guesses a solver needs [N]."""

    inputs: Tokens
    labels: Tokens
    ratings: NDArray[np.int32] | None
    """None where the folder has no ratings."""

    def __len__(self) -> int:
        return len(self.inputs)


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

    @property
    def shape(self) -> Shape:
        return Shape(self.manifest.box_rows, self.manifest.box_cols)

    @property
    def box_rows(self) -> int:
        return self.manifest.box_rows

    @property
    def box_cols(self) -> int:
        return self.manifest.box_cols

    @property
    def seq_len(self) -> int:
        """Cells of a board (C)."""
        return self.shape.cells

    @property
    def vocab_size(self) -> int:
        return self.shape.vocab_size

    @property
    def num_puzzle_identifiers(self) -> int:
        """Rows of the puzzle-embedding table: all Sudoku puzzles share one."""
        return 1

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
        return fingerprint(self.shape, 0, {"test": self.test})


def fingerprint(shape: Shape, num_aug: int, splits: dict[SplitName, Split]) -> str:
    """The content of `splits` as a sha256: equal for equal splits, whatever wrote them when."""
    digest = hashlib.sha256(f"sudoku {shape.box_rows}x{shape.box_cols} num_aug={num_aug}".encode())
    for name in [name for name in SPLIT_NAMES if name in splits]:
        split = splits[name]
        digest.update(f" {name}={len(split)}".encode())
        digest.update(np.ascontiguousarray(split.inputs).data)
        digest.update(np.ascontiguousarray(split.labels).data)
        if split.ratings is not None:
            digest.update(split.ratings.astype("<i4").tobytes())
    return digest.hexdigest()


def check_split(path: Path, split: Split, shape: Shape) -> None:
    """Refuse arrays that are no puzzles of this board: models would train on them without a word.

    Raises:
        UserError: wrong shape or type, tokens out of range, or an answer that ignores a given.
    """
    inputs, labels, ratings = split.inputs, split.labels, split.ratings
    expected = (len(inputs), shape.cells)
    for name, array in (("inputs", inputs), ("labels", labels)):
        if array.dtype != np.uint8 or array.shape != expected:
            raise damaged(path, f"{name} is {array.dtype} {array.shape}, not uint8 {expected}")
    if ratings is not None and ratings.shape != expected[:1]:
        raise damaged(path, f"ratings has shape {ratings.shape}, not {expected[:1]}")
    for name, array, low in (("inputs", inputs, BLANK_TOKEN), ("labels", labels, BLANK_TOKEN + 1)):
        if array.size and not (array.min() >= low and array.max() < shape.vocab_size):
            raise damaged(
                path, f"{name} has tokens {array.min()}..{array.max()}, not {low}..{shape.vocab_size - 1}"
            )
    if ((inputs != BLANK_TOKEN) & (inputs != labels)).any():
        row = int(np.nonzero((inputs != BLANK_TOKEN) & (inputs != labels))[0][0])
        raise damaged(path, f"the answer in row {row} contradicts a given of its puzzle")
