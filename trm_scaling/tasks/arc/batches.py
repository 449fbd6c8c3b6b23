"""Which training examples a step sees: the public code's batching, as a function of (seed, step).

A pass goes through all groups (a task and its augmentations) in random order, `EPOCHS_A_PASS` times. Each
group gives one of its puzzles, drawn at random, and that puzzle its examples, in random order, until the
batch is full. What does not fit of the last puzzle is dropped, and the next batch begins with the next
group. The batch that the end of a pass leaves incomplete is dropped.

A step's place in its pass follows from the passes before it: the first call for a late step walks them once
(about 0.1 ms an epoch of 960 groups), and later calls of the process remember them. B rows of a batch.
"""

from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.augmentation import below, random_words
from trm_scaling.tasks.arc.dataset import ArcDataset

EPOCHS_A_PASS = 100
"""One incomplete batch in so many epochs is dropped. The public code has one in each evaluation interval."""

_ORDER, _PUZZLE, _EXAMPLE = range(16, 19)
"""First keys of the streams of random words."""

Numbers = NDArray[np.int64]


class BatchRows(NamedTuple):
    """The examples of a batch: `ArcDataset.train_examples(identifiers, numbers)` encodes them."""

    identifiers: NDArray[np.int32]
    """[B] augmented puzzles."""

    numbers: Numbers
    """[B] places among the training pairs of the puzzle."""


def train_batch(dataset: ArcDataset, seed: int, step: int, batch_size: int) -> BatchRows:
    """The rows of a step's batch.

    Args:
        dataset: its groups are the tasks that have training pairs.
        seed: of the run.
        step: from 0.
        batch_size: B, over all hosts; each takes its own slice.

    Raises:
        UserError: a pass does not fill one batch.
    """
    groups = np.flatnonzero(dataset.train.sizes)
    sizes = dataset.train.sizes[groups]
    walk = _walk(seed, tuple(sizes.tolist()), batch_size)
    number, batch = walk.place(step)
    order, starts = walk.batches(number)
    position = np.arange(starts[batch], starts[batch + 1])
    group = order[position]
    first, after = (dataset.identifiers.start[groups[group] + each] for each in (0, 1))
    puzzle = first + below(random_words(seed, _PUZZLE, number, position), after - first)
    columns = np.arange(sizes.max())
    words = random_words(seed, _EXAMPLE, number, position[:, None], columns)
    words[columns >= sizes[group][:, None]] = np.iinfo(np.uint64).max  # sorts after every example there is
    chosen = np.argsort(words, axis=1, kind="stable")
    taken = columns < sizes[group][:, None]
    identifiers = np.broadcast_to(puzzle[:, None], taken.shape)[taken][:batch_size]
    return BatchRows(identifiers.astype(np.int32), chosen[taken][:batch_size])


def evaluation_rows(num_rows: int, step: int, batch_size: int) -> Numbers:
    """[B] rows of the test split in order; -1 where the last batch has none left."""
    rows = np.arange(step * batch_size, (step + 1) * batch_size)
    return np.where(rows < num_rows, rows, -1)


def batch_starts(sizes: Numbers, batch_size: int) -> Numbers:
    """Where full batches begin in a sequence of groups of `sizes` [M] examples, and where the last one ends.

    Batch b holds groups starts[b] .. starts[b + 1] - 1, the last of them cut to what fits.
    """
    total = np.concatenate([[0], np.cumsum(sizes)])
    starts = [0]
    while (end := int(np.searchsorted(total, total[starts[-1]] + batch_size))) < len(total):
        starts.append(end)
    return np.array(starts, dtype=np.int64)


class _Walk:
    """The passes of one (seed, sizes, batch size), found in order and remembered as their first steps."""

    def __init__(self, seed: int, sizes: tuple[int, ...], batch_size: int) -> None:
        self._seed = seed
        self._sizes = np.array(sizes, dtype=np.int64)
        self._batch_size = batch_size
        self._first_steps = [0]
        # A remembered method would keep the walk alive, so the memory is the instance's own.
        self.batches = lru_cache(maxsize=2)(self._batches)

    def place(self, step: int) -> tuple[int, int]:
        """The pass of a step, and the batch in it."""
        while self._first_steps[-1] <= step:
            _, starts = self.batches(len(self._first_steps) - 1)
            if len(starts) < 2:
                raise UserError(
                    f"{EPOCHS_A_PASS} epochs of {int(self._sizes.sum())} examples do not fill a batch of "
                    f"{self._batch_size}; take a smaller batch"
                )
            self._first_steps.append(self._first_steps[-1] + len(starts) - 1)
        number = bisect_right(self._first_steps, step) - 1
        return number, step - self._first_steps[number]

    def _batches(self, number: int) -> tuple[Numbers, Numbers]:
        """The groups of a pass in order, and where its batches begin."""
        epochs = number * EPOCHS_A_PASS + np.arange(EPOCHS_A_PASS)
        words = random_words(self._seed, _ORDER, epochs[:, None], np.arange(len(self._sizes)))
        order = np.argsort(words, axis=1, kind="stable").reshape(-1)
        return order, batch_starts(self._sizes[order], self._batch_size)


_walk = lru_cache(maxsize=4)(_Walk)
