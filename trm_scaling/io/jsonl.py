"""JSON lines: one record a line, appended as it happens, cut back on resume.

NaN and infinities do not exist in JSON, and a diverging run must still leave its record: they
are written as null, and the record's own key `nonfinite` says where they stood and which they
were, as in `{"step": 7, "loss": null, "nonfinite": {"loss": "nan"}}`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from trm_scaling.errors import UserError
from trm_scaling.io.atomic import sync_folder, write_bytes
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.io.jsonable import to_jsonable, without_nonfinite


class JsonLines(NamedTuple):
    """What a file of JSON lines held."""

    records: list[dict[str, Any]]
    torn: bool
    """True when the last line broke off (its writer died) and was left out."""


class JsonlWriter:
    """Appends records to a file; each is on its way to the disk when `append` returns.

    A line that a dead writer left half written is dropped on opening. Raises `UserError`
    when the disk is full or the file may not be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with os_errors_explained(path, "append to"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            os.ftruncate(self._descriptor, _whole_lines_length(path))

    def append(self, record: Mapping[str, Any]) -> None:
        """Write `record` as one line. See the module's docstring on NaN and infinities."""
        finite, nonfinite = without_nonfinite(to_jsonable(record))
        if nonfinite:
            finite["nonfinite"] = nonfinite
        remaining = memoryview(json.dumps(finite, allow_nan=False).encode() + b"\n")
        with os_errors_explained(self._path, "append to"):
            # One system call a record: a killed process leaves whole lines, and only a full disk
            # takes a part of one.
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]

    def sync(self) -> None:
        """Return when every record is on the disk, the file's name too: a power cut then takes none.

        Raises `UserError` as `append` does.
        """
        with os_errors_explained(self._path, "append to"):
            os.fsync(self._descriptor)
            sync_folder(self._path.parent)

    def close(self) -> None:
        """Close the file. Records are already in it."""
        os.close(self._descriptor)


def read_jsonl(path: Path) -> JsonLines:
    """The records of a file; a torn last line is left out and reported.

    Raises `UserError` when the file is missing or another line than the last is broken.
    """
    records = []
    lines = _read(path).splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        record = _parse(line)
        if record is not None:
            records.append(record)
        elif number == len(lines):
            return JsonLines(records, torn=True)
        else:
            raise UserError(
                f"{path}, line {number} is not a JSON record: {line[:80]!r}. "
                "Remove that line, or restore the file from a copy."
            )
    return JsonLines(records, torn=False)


def truncate_after(path: Path, step: int) -> int:
    """Drop, atomically, the records whose `step` is above `step`, and a torn last line.

    Records without a step stay. What remains is kept byte for byte, so that the file of a
    resumed run continues as that of an uninterrupted one. Returns how many were dropped;
    a missing file is none.
    """
    if not path.exists():
        return 0
    read_jsonl(path)
    lines = _read(path).splitlines(keepends=True)
    kept = [line for line in lines if _is_kept(line, step)]
    if len(kept) < len(lines):
        write_bytes(path, b"".join(kept))
    return len(lines) - len(kept)


def _is_kept(line: bytes, step: int) -> bool:
    record = _parse(line)
    if record is None:
        return False
    at = record.get("step")
    return at <= step if isinstance(at, int | float) else True


def _parse(line: bytes) -> dict[str, Any] | None:
    # A prefix of an object is never an object, but one without its newline would be glued
    # to the next: without the newline a record is not whole.
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path} does not exist. Check the run folder's name.")
    with os_errors_explained(path, "read"):
        return path.read_bytes()


def _whole_lines_length(path: Path) -> int:
    """Bytes up to and including the last newline."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0
