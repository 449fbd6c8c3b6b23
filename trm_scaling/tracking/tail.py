"""Reads a file of JSON lines while another process writes it."""

import json
import os
from pathlib import Path
from typing import Any


class Tail:
    """The records that came since the last look.

    A resumed run cuts its file back (`trm_scaling.io.jsonl.truncate_after`), which puts another file
    in its place: reading then begins anew, and records come a second time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = -1
        self._offset = 0
        self.broken = 0
        """Whole lines that were no JSON record, and were left out."""

    def read(self) -> list[dict[str, Any]]:
        """New whole lines; a line without its newline waits. Empty while the file does not exist."""
        try:
            file = open(self._path, "rb")  # noqa: SIM115 (the `with` below)
        except FileNotFoundError:
            return []
        with file:
            # Another inode is another file; a shorter one lost a torn last line to its next writer.
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._offset:
                self._inode, self._offset = status.st_ino, 0
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        records = [_parsed(line) for line in whole.splitlines()]
        self.broken += records.count(None)
        return [record for record in records if record is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
