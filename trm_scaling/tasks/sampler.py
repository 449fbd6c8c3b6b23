"""Which training examples a step sees: a pure function of (seed, step).

The stream of examples is one epoch after another, each a permutation of the puzzles with a fresh
augmentation for every one. Example p of the stream is number p % N of epoch p // N, and a step
takes the next `batch_size` of them: so the stream does not depend on the batch size, any host can
compute its own rows, and resuming needs no state but the step.

Randomness is raw Philox words (numpy keeps that stream fixed across versions), keyed by
(seed, epoch).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tasks.embedded import TrainRows

Indices = NDArray[np.int32]

_WIDEST_DRAW = 2**31 - 2
"""The range drawn from where groups differ in size, so that the remainder is uniform to 1e-5 or so."""


@lru_cache(maxsize=8)
def _epoch(seed: int, epoch: int, num_puzzles: int, num_aug: int) -> tuple[Indices, Indices]:
    """The puzzles of one epoch in order, and the augmentation of each; read-only."""
    words = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)).random_raw(2 * num_puzzles)
    puzzle = np.argsort(words[:num_puzzles], kind="stable").astype(np.int32)
    # The upper half of a word times the range, shifted: uniform without a division.
    draws = (words[num_puzzles:] >> np.uint64(32)) * np.uint64(num_aug + 1)
    aug = (draws >> np.uint64(32)).astype(np.int32)
    puzzle.setflags(write=False)
    aug.setflags(write=False)
    return puzzle, aug


def batch_indices(
    seed: int,
    step: int,
    batch_size: int,
    num_puzzles: int,
    num_aug: int,
    start: int = 0,
    stop: int | None = None,
) -> tuple[Indices, Indices]:
    """The puzzle and the augmentation of each example of a step.

    Args:
        seed: of the training run, >= 0.
        step: from 0.
        batch_size: examples of the whole step, over all hosts.
        num_puzzles: N, at least 1.
        num_aug: augmentations are drawn uniformly from 0..num_aug.
        start, stop: the rows of the batch that are wanted; all of them by default.

    Returns:
        puzzle, aug: [stop - start] int32 each.
    """
    stop = batch_size if stop is None else stop
    position, end = step * batch_size + start, step * batch_size + stop
    puzzles: list[Indices] = []
    augs: list[Indices] = []
    while position < end:
        epoch, offset = divmod(position, num_puzzles)
        puzzle, aug = _epoch(seed, epoch, num_puzzles, num_aug)
        take = min(end - position, num_puzzles - offset)
        puzzles.append(puzzle[offset : offset + take])
        augs.append(aug[offset : offset + take])
        position += take
    if not puzzles:
        return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)
    return np.concatenate(puzzles), np.concatenate(augs)


def train_rows(
    dataset: Dataset, seed: int, step: int, batch_size: int, start: int = 0, stop: int | None = None
) -> TrainRows:
    """The rows of `dataset.train` that a step sees, the augmentation to apply on the device, and the row of
    the puzzle embeddings of each; `start`, `stop`: the rows of the batch that are wanted, all by default.

    In the public layout an example is one of the stored images of its puzzle, and nothing is left
    to apply (index 0, the identity).
    """
    if dataset.embedded is not None:
        whole = dataset.embedded.train_rows(seed, step, batch_size)
        return TrainRows(*(each[start:stop] for each in whole))
    row, aug = _drawn_rows(dataset, seed, step, batch_size, start, stop)
    return TrainRows(row, aug, dataset.train.puzzle_ids[row])


def _drawn_rows(
    dataset: Dataset, seed: int, step: int, batch_size: int, start: int, stop: int | None
) -> tuple[Indices, Indices]:
    if dataset.group_start is None:
        return batch_indices(seed, step, batch_size, dataset.num_puzzles, dataset.num_aug, start, stop)
    draws = _WIDEST_DRAW if dataset.group_size is None else dataset.group_size - 1
    group, member = batch_indices(seed, step, batch_size, dataset.num_puzzles, draws, start, stop)
    first, after = dataset.group_start[group], dataset.group_start[group + 1]
    row = first + member % (after - first)
    return row.astype(np.int32), np.zeros_like(group)
