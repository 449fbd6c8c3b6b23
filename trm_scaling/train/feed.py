"""The host's part of a training call: which puzzles, in which order. A function of (seed, step)."""

import jax
import numpy as np

from trm_scaling.config import RunConfig
from trm_scaling.puzzles.dataset import Dataset
from trm_scaling.puzzles.sampler import train_rows
from trm_scaling.train.call import Feed


class Feeder:
    """Cuts the run's stream of examples into feeds of `steps_per_call` steps."""

    def __init__(self, config: RunConfig, dataset: Dataset) -> None:
        self._config = config
        self._dataset = dataset

    def feed(self, start: int, stop: int) -> Feed:
        """The puzzles of steps `start` + 1 to `stop`, padded with the last to a full call of K steps."""
        size, length = self._config.global_batch_size, self._config.system.steps_per_call
        pairs = [train_rows(self._dataset, self._config.seed, step, size) for step in range(start, stop)]
        pairs += pairs[-1:] * (length - len(pairs))
        puzzle = np.stack([pair[0] for pair in pairs])
        augmentation = np.stack([pair[1] for pair in pairs])
        train = self._dataset.train
        return Feed(
            *jax.device_put(
                (train.inputs[puzzle], train.labels[puzzle], np.zeros_like(puzzle), puzzle, augmentation)
            )
        )
