"""Disk and network of a plan. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass

from trm_scaling.config import DataConfig
from trm_scaling.counting.work import described_test_puzzles
from trm_scaling.run.plan.first_estimate import USD_A_BYTE_MONTH
from trm_scaling.run.plan.study_plan import Planned
from trm_scaling.tasks.task import spec_of

SOFTWARE_BYTES = 2_300_000_000
"""An environment with the extra [tpu]: 1.6 GB, and 0.7 GB of libtpu (measured)."""


@dataclass(frozen=True)
class Resources:
    """Of all runs of a plan."""

    disk_bytes: int
    """When the last run ends and nothing was removed: checkpoints, records, puzzles, software."""
    results_bytes: int
    """What the analysis needs of it elsewhere: everything but checkpoints, puzzles and software."""
    storage_usd_a_month: float
    """Of the disk, at the price of the study's first estimate."""


def resources_of(planned: Sequence[Planned]) -> Resources:
    """Of the runs of `planned`, one after another."""
    datasets = {_content(each.config.data): _dataset_bytes(each.config.data) for each in planned}
    runs = sum(each.storage.disk for each in planned)
    # Only one run at a time writes the checkpoint that is counted beside those kept.
    runs -= sum(each.storage.checkpoint for each in planned)
    runs += max(each.storage.checkpoint for each in planned)
    disk = runs + sum(datasets.values()) + SOFTWARE_BYTES
    results = sum(each.storage.results for each in planned)
    return Resources(disk, results, disk * USD_A_BYTE_MONTH)


def _content(data: DataConfig) -> str:
    """Augmentations are made on the device, so folders differ by everything else."""
    return data.model_dump_json(exclude={"num_aug"})


def _dataset_bytes(data: DataConfig) -> int:
    puzzles = data.train_size + data.val_size + (described_test_puzzles(data) or 0)
    return puzzles * 2 * spec_of(data).seq_len
