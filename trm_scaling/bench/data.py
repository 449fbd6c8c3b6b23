"""Puzzles, timed: building the dataset of a configuration, and augmenting its batches on the device."""

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import jax.numpy as jnp
import numpy as np

from trm_scaling.bench.timing import Spread, timed
from trm_scaling.config import RunConfig
from trm_scaling.tasks.build import ensure_dataset


@dataclass(frozen=True)
class DataBench:
    """What the puzzles of a run take."""

    source: str
    train_puzzles: int
    augmentations: int
    """Of each training puzzle."""
    build_s: float
    """From nothing to a dataset that has been checked and opened."""
    bytes_on_disk: int
    augment_batch: int
    augment_s: Spread
    """Of one batch, on the device."""
    augmented_per_s: float
    """Puzzles a second, in the median."""


def bench_data(config: RunConfig, root: Path, repeats: int) -> DataBench:
    """Build the dataset of `config` in a temporary folder, and augment `repeats` batches of it.

    `root` is what a relative `data.path` starts from. Raises UserError as `ensure_dataset` does.
    """
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        dataset = ensure_dataset(config.data, root if config.data.path else Path(folder))
        build_s = time.perf_counter() - began
        files = [file for file in dataset.path.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        rows = np.arange(config.global_batch_size) % len(dataset.train)
        batch = jax.device_put((dataset.train.inputs[rows], dataset.train.labels[rows]))
    work = jax.jit(dataset.task.augment)
    seed, puzzle = jnp.uint32(dataset.augmentation_seed), jnp.asarray(rows, jnp.int32)
    timed(lambda: work(seed, puzzle, puzzle, *batch), 1)
    seconds = timed(lambda: work(seed, puzzle, puzzle, *batch), repeats)
    return DataBench(
        source=config.data.source if config.data.path is None else str(config.data.path),
        train_puzzles=dataset.num_puzzles,
        augmentations=dataset.num_aug,
        build_s=build_s,
        bytes_on_disk=size,
        augment_batch=len(rows),
        augment_s=seconds,
        augmented_per_s=len(rows) / seconds.median,
    )
