"""Augmentations that have puzzle embeddings of their own: what training and testing ask of them.

ARC's are of this kind: each augmented puzzle has its row of the table, a batch is drawn group by group, and
the answers to all images of a test input vote. B batch, C cells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from trm_scaling.config.data import DataConfig
from trm_scaling.tasks.folder import Progress
from trm_scaling.tasks.task import Chosen

Predict = Callable[[Any], tuple[np.ndarray, np.ndarray]]
"""A batch with `inputs` and `labels` (B, C) and `identifiers` (B,) -> predicted tokens (B, C) uint8 and
halting logits (B,), after the last supervision step."""


class TrainRows(NamedTuple):
    """The examples of a batch."""

    row: np.ndarray
    """(B,) int32: rows of the training split, which is also which stream of augmentations."""
    augmentation: np.ndarray
    """(B,) int32: the index that `Task.augment` takes."""
    puzzle_ids: np.ndarray
    """(B,) int32: rows of the puzzle embeddings."""


@dataclass(frozen=True)
class Voted:
    """What the votes of a checkpoint came to."""

    rows: list[dict[str, Any]]
    """Of the table of evaluations."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """For the run folder, by name."""


class EmbeddedAugmentations(Protocol):
    """The images of a dataset's puzzles, and the row of the puzzle embeddings that each of them has."""

    @property
    def map_name(self) -> str:
        """The file that says what each row is of; it goes with every checkpoint."""

    def map_bytes(self) -> bytes:
        """Its content."""

    def check_table(self, map_of_table: bytes | None, where: str) -> None:
        """Raise UserError unless a table that was trained with `map_of_table` belongs to this dataset.

        None: the table comes without its map. `where` names the checkpoint.
        """

    def train_rows(self, seed: int, step: int, batch_size: int) -> TrainRows:
        """The examples of a step, a function of (seed, step). Raises UserError for too large a batch."""

    def name_of_test(self, row: int) -> str:
        """The name of a row of the test split, as `chosen` takes it."""

    def chosen(self, name: str) -> Chosen:
        """The puzzle called `name`. Raises UserError for an unknown one, with the nearest names."""

    def voted(
        self,
        predict: Predict,
        data: DataConfig,
        batch_size: int,
        checkpoint: str,
        folder: Path | None,
        saves: bool,
        progress: Progress,
    ) -> Voted:
        """Ask every image of every test puzzle and count the votes; `data` may ask for more.

        `checkpoint` names the weights; votes are kept in `folder` meanwhile (None: nowhere) by the process
        that `saves`, and an evaluation of the same weights that was cut short goes on from there.
        """
