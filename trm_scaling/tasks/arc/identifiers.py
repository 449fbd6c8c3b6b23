"""Puzzle identifiers: the task and the transformation of each row of a table of puzzle embeddings.

An augmented puzzle is a task under one symmetry of the square and one permutation of the colours 1 to 9. Its
identifier is its row in the table. The map is a name and a number for each row; it goes where the table
goes, and its fingerprint says whether the two belong together. A table under another map scores about 0 %.

P identifiers in all, the blank one included.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Int32, UInt8
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.collection import COLOURS
from trm_scaling.tasks.grid_symmetry import NUM_SYMMETRIES

BLANK = 0
BLANK_NAME = "<blank>"
SEPARATOR = "|||"

NUM_PERMUTATIONS = 362_880  # 9!: colour 0 is fixed
_PLACES = np.array([40_320, 5_040, 720, 120, 24, 6, 2, 1, 1], dtype=np.int64)  # 8! down to 0!


@dataclass(frozen=True, eq=False)
class IdentifierMap:
    """The tasks of a collection, and the transformation behind each identifier."""

    tasks: tuple[str, ...]
    task: NDArray[np.int32]
    """[P] place of the task in `tasks`; -1 for the blank identifier, which is row 0."""

    code: NDArray[np.int32]
    """[P] symmetry * 9! + the rank of the permutation of the colours 1 to 9; 0 is the identity."""

    def __len__(self) -> int:
        return len(self.task)

    @property
    def symmetry(self) -> Int32[np.ndarray, " P"]:
        return self.code // np.int32(NUM_PERMUTATIONS)

    @cached_property
    def colours(self) -> UInt8[np.ndarray, "P 10"]:
        """Old colour -> new colour of each identifier."""
        return permutations(self.code % np.int32(NUM_PERMUTATIONS))

    @cached_property
    def start(self) -> NDArray[np.int64]:
        """[tasks + 1] first identifier of each task; its original is the first."""
        return np.searchsorted(self.task, np.arange(len(self.tasks) + 1)).astype(np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the names of all identifiers in order: equal maps on every machine."""
        digest = hashlib.sha256()
        digest.update(json.dumps(self.tasks).encode())
        digest.update(self.task.astype("<i4").tobytes())
        digest.update(self.code.astype("<i4").tobytes())
        return digest.hexdigest()

    def name(self, identifier: int) -> str:
        """The public code's name: `007bbfb7`, or `007bbfb7|||t3|||0713495682` for an augmentation."""
        if identifier == BLANK:
            return BLANK_NAME
        task = self.tasks[self.task[identifier]]
        if identifier == self.start[self.task[identifier]]:
            return task
        digits = "".join(map(str, self.colours[identifier]))
        return f"{task}{SEPARATOR}t{self.symmetry[identifier]}{SEPARATOR}{digits}"

    @classmethod
    def from_names(cls, names: Sequence[str], where: str) -> "IdentifierMap":
        """The map of the public code's `identifiers.json`.

        Raises `UserError` naming `where` for a list that does not begin with the blank identifier, a name
        that is not in the public form, or a task whose original does not come first.
        """
        if len(names) < 2 or names[0] != BLANK_NAME:
            raise UserError(
                f"{where}: {len(names)} identifiers, the first of them not {BLANK_NAME} or the only one; "
                "expected the public identifiers.json of an ARC dataset"
            )
        tasks: list[str] = []
        task, symmetry, colours = [-1], [0], [list(range(COLOURS))]
        for number, name in enumerate(names[1:], start=1):
            base, *how = name.split(SEPARATOR)
            if not how:
                tasks.append(base)
                how = ["t0", "0123456789"]
            legal = (
                len(how) == 2
                and how[0] in {f"t{each}" for each in range(NUM_SYMMETRIES)}
                and sorted(how[1]) == sorted("0123456789")
                and how[1][0] == "0"
            )
            if not legal or not tasks or tasks[-1] != base:
                raise UserError(
                    f"{where}: identifier {number} is {name!r:.60}; expected TASK, then its augmentations "
                    f"TASK{SEPARATOR}tN{SEPARATOR}DIGITS"
                )
            task.append(len(tasks) - 1)
            symmetry.append(int(how[0][1:]))
            colours.append([int(digit) for digit in how[1]])
        if len(set(tasks)) != len(tasks):
            raise UserError(
                f"{where}: a task is listed twice; expected each task with its augmentations in one place"
            )
        code = np.array(symmetry) * NUM_PERMUTATIONS + permutation_ranks(np.array(colours, dtype=np.uint8))
        return cls(tuple(tasks), np.array(task, dtype=np.int32), code.astype(np.int32))

    def to_bytes(self) -> bytes:
        """The map as one compressed file, for a dataset folder or a checkpoint: 3.3 bytes an identifier."""
        buffer = io.BytesIO()
        names = np.frombuffer(json.dumps(self.tasks).encode(), dtype=np.uint8)
        np.savez_compressed(buffer, names=names, task=self.task, code=self.code)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> "IdentifierMap":
        """Read a file of `to_bytes`. Raises `UserError` when it is not such a file."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _no_map(str(path), error) from error
        return cls.from_bytes(content, str(path))

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> "IdentifierMap":
        """What `to_bytes` made. Raises `UserError` naming `where` when it is something else."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                names, task, code = (stored[key] for key in ("names", "task", "code"))
            tasks = tuple(json.loads(names.tobytes()))
        except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
            raise _no_map(where, error) from error
        return cls(tasks, task, code)

    def check_table(self, fingerprint: str | None, rows: int, where: str) -> None:
        """Raise `UserError` unless a table of puzzle embeddings belongs to this map.

        Args:
            fingerprint: of the map that the table was trained with; None where it is not known.
            rows: of the table; those beyond the identifiers are spare.
            where: what holds the table, for the message.
        """
        if rows < len(self):
            raise UserError(
                f"{where}: the table of puzzle embeddings has {rows:,} rows and the dataset {len(self):,} "
                f"identifiers; use the dataset that the checkpoint was trained on"
            )
        if fingerprint is None:
            raise UserError(
                f"{where}: the table of puzzle embeddings comes without the fingerprint of its identifiers; "
                f"give the identifiers.json or the dataset that it was trained on"
            )
        if fingerprint != self.fingerprint:
            raise UserError(
                f"{where}: the table of puzzle embeddings belongs to other identifiers (fingerprint "
                f"{fingerprint[:12]}, the dataset has {self.fingerprint[:12]}); use the dataset that the "
                f"checkpoint was trained on"
            )


def _no_map(where: str, error: Exception) -> UserError:
    return UserError(f"{where} is not a map of puzzle identifiers ({error}); build the dataset again")


def permutations(ranks: Int32[Any, " N"]) -> UInt8[Any, "N 10"]:
    """The permutation of each rank 0..9!-1 in lexicographic order; colour 0 stays.

    Of NumPy arrays, or traced JAX arrays.
    """
    xp = ranks.__array_namespace__()
    # Columns of the factorial number system; a digit counts the smaller values that follow it.
    digits = [ranks // int(place) % (9 - column) for column, place in enumerate(_PLACES)]
    for column in range(7, -1, -1):
        for later in range(column + 1, 9):
            digits[later] = digits[later] + xp.astype(digits[later] >= digits[column], digits[later].dtype)
    moved = xp.astype(xp.stack(digits, axis=1), xp.uint8) + xp.uint8(1)
    return xp.concat([xp.zeros((moved.shape[0], 1), dtype=xp.uint8), moved], axis=1)


def permutation_ranks(colours: UInt8[np.ndarray, "N 10"]) -> NDArray[np.int64]:
    """The rank of each permutation, the inverse of `permutations`."""
    moved = colours[:, 1:]
    later = np.tri(9, k=-1, dtype=bool).T
    smaller = (moved[:, None, :] < moved[:, :, None]) & later
    return (smaller.sum(axis=2) * _PLACES).sum(axis=1)
