"""The record of a checkpoint: what it holds, and the hash of every file in it."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trm_scaling.io.atomic import write_json
from trm_scaling.io.disk_errors import unreadable

RECORD_NAME = "checkpoint.json"
_FORMAT = 1

Score = tuple[float, ...]
"""Compared in order: the first number decides, the next one among equals. Higher is better."""


@dataclass(frozen=True)
class LeafSpec:
    """Shape and dtype of one array."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class CheckpointRecord:
    """What a step's folder says about itself."""

    step: int
    score: Score | None
    """None can never be the best."""
    metadata: Any
    """The caller's, as JSON; opaque here."""
    leaves: dict[str, LeafSpec | None]
    """Every leaf of the state by name; None for a leaf that is None."""
    files: dict[str, str]
    """sha256 of every file, by path relative to the step's folder."""


class BrokenRecordError(Exception):
    """A record that is missing, cannot be read, or is not what was written."""


def write_record(folder: Path, record: CheckpointRecord) -> None:
    """Write `record` into a step's folder, with a hash of itself."""
    content = {"format": _FORMAT, **asdict(record)}
    write_json(folder / RECORD_NAME, {**content, "sha256": _digest_of(content)})


def read_record(folder: Path) -> CheckpointRecord:
    """The record in a step's folder. Raises `BrokenRecordError` if it is not as it was written."""
    try:
        return parse_record((folder / RECORD_NAME).read_bytes())
    except FileNotFoundError as error:
        raise BrokenRecordError(f"{RECORD_NAME} is missing") from error
    except OSError as error:
        if (lost := unreadable(error)) is None:
            raise
        raise BrokenRecordError(f"{RECORD_NAME} {lost}") from error


def parse_record(data: bytes) -> CheckpointRecord:
    """The record that `data` holds. Raises `BrokenRecordError` if it is not as it was written."""
    try:
        content = json.loads(data)
    except ValueError as error:
        raise BrokenRecordError(f"{RECORD_NAME} is not JSON") from error
    if not isinstance(content, dict) or content.pop("sha256", None) != _digest_of(content):
        raise BrokenRecordError(f"{RECORD_NAME} differs from what was written")
    if (found := content.pop("format")) != _FORMAT:
        raise BrokenRecordError(f"{RECORD_NAME} has format {found}; this version reads format {_FORMAT}")
    leaves = {
        name: spec and LeafSpec(tuple(spec["shape"]), spec["dtype"])
        for name, spec in content.pop("leaves").items()
    }
    score = ordered(content.pop("score"))
    return CheckpointRecord(leaves=leaves, score=score, **content)


def ordered(score: float | Sequence[float] | None) -> Score | None:
    """`score` as it is compared; None for one that holds a NaN or an infinity.

    Records made before scores had several numbers hold one: solved puzzles plus the share of right cells.
    """
    if score is None:
        return None
    numbers = tuple(map(float, score)) if isinstance(score, Sequence) else (float(score),)
    if not all(map(math.isfinite, numbers)):
        return None
    whole = math.floor(numbers[0])
    return numbers if len(numbers) > 1 else (float(whole), numbers[0] - whole)


def hash_files(folder: Path) -> dict[str, str]:
    """sha256 of every file under `folder` but the record, by relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): _digest(path) for path in paths if path.name != RECORD_NAME}


def find_damage(folder: Path, record: CheckpointRecord) -> str | None:
    """The first file that is not as it was written, in words; None if all are."""
    for name, expected in record.files.items():
        try:
            damage = _damage_to(folder / name, expected)
        except OSError as error:
            if (damage := unreadable(error)) is None:
                raise
        if damage is not None:
            return f"{name} {damage}"
    return None


def _damage_to(path: Path, expected: str) -> str | None:
    if not path.is_file():
        return "is missing"
    if _digest(path) != expected:
        return f"({path.stat().st_size} bytes) differs from what was written"
    return None


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
