"""The host's part of a training call: which puzzles, in which order. A function of (seed, step).

Shapes: K steps a call, B batch, b rows of it that one device works on.
"""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Int, UInt8

from trm_scaling.config import RunConfig
from trm_scaling.parallel.sharding import batch_spec, on_mesh
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tasks.sampler import train_rows


class Feed(NamedTuple):
    """The puzzles of up to K steps as the host sends them, not yet augmented."""

    inputs: UInt8[Array, "K B C"]
    labels: UInt8[Array, "K B C"]
    puzzle_ids: Int[Array, "K B"]
    puzzle: Int[Array, "K B"]
    """Row of the training split: which stream of augmentations."""
    augmentation: Int[Array, "K B"]
    """Index of the augmentation; 0 is the puzzle itself."""


def feed_specs() -> Any:
    """How a feed lies on a mesh: each device has the puzzles offered to its own rows of the batch."""
    offers: Any = batch_spec(axis=1)
    return Feed(offers, offers, offers, offers, offers)


class HostBatcher:
    """Cuts the run's stream of examples into feeds of `steps_per_call` steps.

    A host looks up the rows of its own devices alone.
    """

    def __init__(self, config: RunConfig, dataset: Dataset, mesh: Mesh) -> None:
        self._config = config
        self._dataset = dataset
        self._shardings = on_mesh(mesh, feed_specs())

    def feed(self, start: int, stop: int) -> Feed:
        """The puzzles of steps `start` + 1 to `stop`, padded with the last to a full call of K steps."""
        shape = (self._config.system.steps_per_call, self._config.global_batch_size)
        cells = (*shape, self._dataset.seq_len)
        share = cache(partial(self._share, start, stop))

        def leaf(number: int, shape: tuple[int, ...], sharding: NamedSharding) -> jax.Array:
            def of_device(index: tuple[slice, ...] | None) -> np.ndarray:
                first, end, _ = index[1].indices(shape[1]) if index else (0, shape[1], 1)
                return share(first, end)[number]

            return jax.make_array_from_callback(shape, sharding, of_device)

        shapes = (cells, cells, shape, shape, shape)
        return Feed(*map(leaf, range(len(shapes)), shapes, self._shardings))

    def _share(self, start: int, stop: int, first: int, end: int) -> tuple[np.ndarray, ...]:
        """The leaves of a feed, rows `first` to `end` of each batch: (K, b) and (K, b, C)."""
        size, length = self._config.global_batch_size, self._config.system.steps_per_call
        steps = range(start, stop)
        batches = [train_rows(self._dataset, self._config.seed, step, size, first, end) for step in steps]
        batches += batches[-1:] * (length - len(batches))
        puzzle, augmentation, ids = (np.stack(each) for each in zip(*batches, strict=True))
        train = self._dataset.train
        return train.inputs[puzzle], train.labels[puzzle], ids, puzzle, augmentation
