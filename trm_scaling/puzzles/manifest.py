"""What a dataset folder says about itself: `manifest.json`."""

import hashlib
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from trm_scaling.config.base import Frozen
from trm_scaling.errors import UserError

FORMAT_VERSION = 1

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "val", "test")
Layout = Literal["compact", "public"]

_BANDS = ((0, 0), (1, 4), (5, 19), (20, 49), (50, 99), (100, 199), (200, 499), (500, None))
"""Bounds of the rating histogram, both inclusive."""


class SplitManifest(Frozen):
    """One split."""

    count: int = Field(ge=0)
    """Distinct puzzles, before augmentation."""

    ratings: dict[str, int] | None
    """Puzzles per band of rating (guesses a solver needs); None where ratings are unknown."""


class Manifest(Frozen):
    """A dataset: where it came from, what it holds, and the checksums that prove it whole."""

    format: Literal["trm-scaling-sudoku"] = "trm-scaling-sudoku"
    version: Literal[1] = 1
    layout: Layout
    """`compact`: one file a split, augmented on the device. `public`: augmentations stored."""

    source: str
    """`hub`, `generated`, or the list the puzzles came from."""

    test_source: str | None
    """The list the test puzzles came from, where it is another one."""

    rated_by: Literal["source", "trm", "nobody"]
    """Whose solver counted the guesses: ratings of different solvers do not compare."""

    regime: str
    """The data regime in words."""

    seed: int | None
    """Seed of generation, sub-sampling and splits."""

    box_rows: int
    box_cols: int
    num_aug: int = Field(ge=0)
    """Augmentations of each training puzzle beside itself."""

    wish: str
    """What was asked of the puzzles."""

    splits: dict[SplitName, SplitManifest]

    shared_solution_grids: int | None
    """Solution grids that stand in more than one split."""

    shared_solution_classes: int | None
    """Symmetry classes of solution grids that stand in more than one split. Augmented training
    puzzles reach every grid of such a class: 4x4 has 2 classes in all, 6x6 has 49."""

    fingerprint: str
    """sha256 over shape, augmentations and the tokens of every split: the content, not the files."""

    files: dict[str, str]
    """sha256 of every other file of the folder."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if missing := [name for name in SPLIT_NAMES if name not in self.splits]:
            raise ValueError(f"splits lacks {', '.join(missing)}")
        for name in self.files:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"files names {name!r:.80}, which lies outside of the folder")
        return self


def parse_manifest(path: Path) -> Manifest:
    """Read `manifest.json`.

    Raises:
        UserError: it is no manifest of ours, or of a version we do not know.
    """
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole file"
        raise UserError(
            f"{path} is no manifest of a dataset that this version reads ({field}: {first['msg']}); "
            "build the dataset again with `trm data sudoku`, or name another folder"
        ) from error


def histogram(ratings: NDArray[np.int32]) -> dict[str, int]:
    """How many ratings fall in each band; empty bands are left out."""
    bands: dict[str, int] = {}
    for low, high in _BANDS:
        name = f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
        count = int(np.count_nonzero((ratings >= low) & (ratings <= (2**31 - 1 if high is None else high))))
        if count:
            bands[name] = count
    return bands


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
