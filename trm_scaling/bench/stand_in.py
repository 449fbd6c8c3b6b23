"""Boards of the right size without a dataset: what is timed does not depend on what stands in them."""

from pathlib import Path

import numpy as np

from trm_scaling.config import RunConfig
from trm_scaling.tasks.dataset import Dataset, Split
from trm_scaling.tasks.manifest import SPLIT_NAMES, Manifest, SplitManifest
from trm_scaling.tasks.task import spec_of, task_of

MOST_PUZZLES = 1024
"""Of each split: a benchmark meets them again and again."""


def stand_in_dataset(config: RunConfig) -> Dataset:
    """Random tokens, about a third of them given, in the sizes of `config` up to `MOST_PUZZLES`."""
    data, spec = config.data, spec_of(config.data)
    wanted = {"train": data.train_size, "val": data.val_size, "test": data.test_size or MOST_PUZZLES}
    counts = {name: min(wanted[name], MOST_PUZZLES) for name in SPLIT_NAMES}
    random = np.random.default_rng(config.seed)

    def split(count: int) -> Split:
        labels = random.integers(2, spec.vocab_size, (count, spec.seq_len), dtype=np.uint8)
        given = random.random(labels.shape) < 1 / 3
        return Split(np.where(given, labels, np.uint8(1)), labels)

    manifest = Manifest(
        layout="compact",
        task=data.task,
        source="random tokens",
        rated_by="nobody",
        regime="none: these are no puzzles",
        seed=0,
        board=task_of(data).board,
        num_aug=data.num_aug,
        wish="",
        splits={name: SplitManifest(count=counts[name], ratings=None) for name in SPLIT_NAMES},
        fingerprint="",
        files={},
    )
    train, val, test = (split(counts[name]) for name in SPLIT_NAMES)
    return Dataset(Path(), manifest, train, val, test)
