"""Which augmentations a task gets, and where an example lies on its square: functions of a seed.

As in the public code an augmentation is a random symmetry and a random permutation of the colours 1 to 9;
one that makes the same puzzle as an earlier one is dropped, and after five draws for each one wanted the
group stays smaller. The stream of draws is ours: SplitMix64 of the seed, the task's name and the number of
the draw, so that a task has the same augmentations on every machine and whatever tasks stand beside it.

D draws, G grids of a task.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt64
from numpy.typing import NDArray

from trm_scaling.tasks.arc.collection import COLOURS, ArcTask
from trm_scaling.tasks.arc.description import MAX_SIDE
from trm_scaling.tasks.arc.identifiers import NUM_PERMUTATIONS, IdentifierMap, permutations
from trm_scaling.tasks.grid_symmetry import NUM_SYMMETRIES, transform_grid

TRIES = 5
"""Draws for each wanted augmentation before the group stays smaller."""

_AUGMENT, _PLACE, _ANCHOR, _POSITION, _COLOUR, _SHAPE = range(6)
"""First keys of the streams of random words."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

Words = UInt64[np.ndarray, "..."]


def augment_tasks(tasks: Sequence[ArcTask], num_aug: int, seed: int) -> IdentifierMap:
    """The identifiers of tasks and their augmentations: each original, then up to `num_aug` others."""
    codes = [augmentations(task, num_aug, seed) for task in tasks]
    task = np.repeat(np.arange(len(tasks), dtype=np.int32), [len(each) for each in codes])
    return IdentifierMap(
        tuple(task.name for task in tasks),
        np.concatenate([np.array([-1], dtype=np.int32), task]),
        np.concatenate([np.zeros(1, dtype=np.int32), *codes]),
    )


def augmentations(task: ArcTask, num_aug: int, seed: int) -> NDArray[np.int32]:
    """The codes (see `IdentifierMap.code`) of a task's augmentations in order, the identity first."""
    codes: NDArray[np.int32] = np.zeros(1, dtype=np.int32)
    first: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
    # The result is that of the second round alone; the first one nearly always suffices.
    for draws in (num_aug, TRIES * num_aug):
        words = random_words(seed, _AUGMENT, task_key(task.name), np.arange(draws))
        symmetries = (words & np.uint64(NUM_SYMMETRIES - 1)).astype(np.int32)
        rank = below(words, NUM_PERMUTATIONS).astype(np.int32)
        drawn = symmetries * NUM_PERMUTATIONS + rank
        codes = np.concatenate([[0], drawn]).astype(np.int32)
        _, first = np.unique(_puzzle_keys(task, codes), return_index=True)
        if len(first) > num_aug:
            break
    return codes[np.sort(first)[: num_aug + 1]]


def offsets(
    seed: int,
    task_keys: NDArray[np.uint64],
    index: NDArray[np.int64],
    pair: NDArray[np.int64],
    num_pairs: NDArray[np.int64],
    sides: NDArray[np.int32],
    square: int = MAX_SIDE,
) -> NDArray[np.int32]:
    """Where training examples lie on their squares of `square` cells along an edge, [N, 2] row and column.

    As in the public code: uniform on each axis in 0 .. `square` - the larger of input and output, one for
    each example and for good; of each augmented puzzle one example, drawn at random, stays at the top left.

    Args:
        task_keys: `task_key` of each example's task, [N].
        index: place of the augmented puzzle in its group, [N].
        pair: place of the example among the training pairs of its puzzle, [N].
        num_pairs: of the puzzle's training pairs, [N].
        sides: the larger of the input's and the output's rows and columns, after the symmetry, [N, 2].
    """
    stays = below(random_words(seed, _ANCHOR, task_keys, index), num_pairs) == pair
    words = random_words(seed, _PLACE, task_keys[:, None], index[:, None], pair[:, None], np.arange(2))
    offset = below(words, square + 1 - sides)
    return np.where(stays[:, None], 0, offset).astype(np.int32)


def random_words(*keys: int | NDArray[np.integer]) -> Words:
    """64 random bits as a function of the keys alone: SplitMix64, one round a key.

    The same on every machine and with every version of NumPy. Keys broadcast, count modulo 2^64, and at
    least one is an array.
    """
    word = np.zeros(np.broadcast_shapes(*(np.shape(key) for key in keys)), dtype=np.uint64)
    for key in keys:
        key = np.array([key % 2**64], np.uint64) if isinstance(key, int) else key.astype(np.uint64)
        word = _mix(word + _GOLDEN + key)
    return word


def below(words: Words, bound: int | NDArray[np.integer]) -> NDArray[np.int64]:
    """Whole numbers 0..bound-1 from the upper halves of random words; bounds up to 2^32 broadcast."""
    return ((words >> np.uint64(32)) * np.asarray(bound).astype(np.uint64) >> np.uint64(32)).astype(np.int64)


def task_key(name: str) -> int:
    """A number of 64 bits for a task's name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def _mix(word: Words) -> Words:
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def _puzzle_keys(task: ArcTask, codes: NDArray[np.int32]) -> Words:
    """[D] a hash of the puzzle that each code makes, whatever the order of its pairs.

    The hash of a grid is linear in the random words of its colours, so the cells are read once for each
    symmetry and not once for each draw. Two puzzles that differ collide with a chance of 2^-64, and then one
    draw is lost.
    """
    cell_words = random_words(_POSITION, np.arange(MAX_SIDE * MAX_SIDE)).reshape(MAX_SIDE, MAX_SIDE)
    grids = [grid for pair in task.pairs for grid in (pair.input, pair.output)]
    sums = np.zeros((NUM_SYMMETRIES, len(grids), COLOURS), dtype=np.uint64)
    shape_words = np.zeros((NUM_SYMMETRIES, len(grids)), dtype=np.uint64)
    for symmetry in range(NUM_SYMMETRIES):
        for number, grid in enumerate(grids):
            image = transform_grid(grid, symmetry)
            words = cell_words[: image.shape[0], : image.shape[1]]
            np.add.at(sums[symmetry, number], image, words)
            shape_words[symmetry, number] = random_words(_SHAPE, image.shape[0], np.array([image.shape[1]]))[
                0
            ]
    drawn = codes // NUM_PERMUTATIONS
    colour_words = random_words(_COLOUR, np.arange(COLOURS))[permutations(codes % NUM_PERMUTATIONS)]
    hashes = (sums[drawn] * colour_words[:, None, :]).sum(axis=2, dtype=np.uint64) + shape_words[drawn]
    pairs = _mix(hashes[:, 0::2] + _GOLDEN) * np.uint64(3) + hashes[:, 1::2]
    return _mix(pairs).sum(axis=1, dtype=np.uint64)
