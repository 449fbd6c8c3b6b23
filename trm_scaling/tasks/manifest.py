"""What a dataset folder says about itself: `manifest.json`."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from trm_scaling.config.fields import Frozen
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.io.disk_errors import unreadable
from trm_scaling.tasks.scoring import rating_bands
from trm_scaling.tasks.task import TaskName, task_class

FORMAT_VERSION = 1

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "val", "test")
Layout = Literal["compact", "public"]


class DamagedDataset(UserError):
    """A dataset folder is not as it was written."""

    def __init__(self, finding: str, remedy: str) -> None:
        super().__init__(f"{finding}; {remedy}")
        self.finding = finding
        """Which file, and what is wrong with it."""


class SplitManifest(Frozen):
    """One split."""

    count: int = Field(ge=0)
    """Distinct puzzles, before augmentation."""

    ratings: dict[str, int] | None
    """Puzzles per band of difficulty, in the task's own unit; None where it is unknown."""


class Manifest(Frozen):
    """A dataset: where it came from, what it holds, and the checksums that prove it whole."""

    format: Literal["trm-scaling-dataset"] = "trm-scaling-dataset"
    version: Literal[1] = 1
    task: str
    """What the puzzles are (`data.task`)."""

    layout: Layout
    """`compact`: one file a split, augmented on the device. `public`: augmentations stored."""

    source: str
    """`hub`, `generated`, or the list the puzzles came from."""

    test_source: str | None = None
    """The list the test puzzles came from, where it is another one."""

    rated_by: Literal["source", "trm", "nobody"]
    """Whose solver measured the difficulty: ratings of different solvers do not compare."""

    regime: str
    """The data regime in words."""

    seed: int | None
    """Seed of generation, sub-sampling and splits."""

    board: dict[str, Any]
    """The fields of the description that give a puzzle its form (`Task.board`)."""

    num_aug: int = Field(ge=0)
    """Augmentations of each training puzzle beside itself."""

    wish: str
    """What was asked of the puzzles."""

    asked: str | None = None
    """sha256 of the description it was built from, by which the same wish finds it. None for a list of
    one's own, whose content may have changed since, and in a folder from before it was kept."""

    splits: dict[SplitName, SplitManifest]

    about: dict[str, Any] = Field(default_factory=dict)
    """What the task says of its puzzles beside: `Built.about`."""

    fingerprint: str
    """sha256 over board, augmentations and the tokens of every split: the content, not the files."""

    files: dict[str, str]
    """sha256 of every other file of the folder."""

    sha256: str | None = None
    """Of this file's other values; None in a folder from before it was kept."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if missing := [name for name in SPLIT_NAMES if name not in self.splits]:
            raise ValueError(f"splits lacks {', '.join(missing)}")
        for name in self.files:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"files names {name!r:.80}, which lies outside of the folder")
        return self


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, with a checksum of itself."""
    content = manifest.model_dump(mode="json", exclude={"sha256"})
    write_json(path, {**content, "sha256": _digest_of(content)})


def parse_manifest(path: Path) -> Manifest:
    """Read `manifest.json`.

    Raises:
        DamagedDataset: it is no manifest of ours, of a version we do not know, not as it was written, or
            cannot be read from the disk.
    """
    with unreadable_is_damage(path):
        data = path.read_bytes()
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _foreign(path, f"the whole file: {error}") from error
    try:
        manifest = Manifest.model_validate(_upgraded(content))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole file"
        raise _foreign(path, f"{field}: {first['msg']}") from error
    if manifest.sha256 is not None and content.pop("sha256") != _digest_of(content):
        raise damaged(path, "not the manifest that was written (its sha256 differs from the one it holds)")
    return manifest


_OLD_FORMAT = "trm-scaling-"
"""What began the format of a manifest when each task had its own; the task's name followed."""


def _upgraded(content: Any) -> Any:
    """`content` as this version writes it, where an earlier one wrote it in a form of its task's own."""
    found = content.get("format") if isinstance(content, dict) else None
    name = found.removeprefix(_OLD_FORMAT) if isinstance(found, str) else ""
    return task_class(name).upgraded(content) if name in get_args(TaskName) else content


def _foreign(path: Path, finding: str) -> DamagedDataset:
    return DamagedDataset(
        f"{path} is no manifest of a dataset that this version reads ({finding})",
        "build the dataset again with `trm data`, or name another folder",
    )


def damaged(path: Path, finding: str) -> DamagedDataset:
    """The error for a dataset folder that is not what it says it is."""
    return DamagedDataset(
        f"{path}: {finding}", "the dataset is damaged, so delete its folder and build it again"
    )


@contextmanager
def unreadable_is_damage(path: Path) -> Iterator[None]:
    """Raise `damaged` in place of the `OSError` of a disk that no longer gives the file at `path`."""
    try:
        yield
    except OSError as error:
        if (lost := unreadable(error)) is None:
            raise
        raise damaged(path, lost) from error


def _digest_of(content: dict[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode())


def histogram(ratings: NDArray[np.int32]) -> dict[str, int]:
    """How many ratings fall in each band; empty bands are left out."""
    return {label: int(inside.sum()) for label, inside in rating_bands(ratings)}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
