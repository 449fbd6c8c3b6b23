"""From `metrics.jsonl`, read while another process writes it, to the rows of a tracking service."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NOT_METRICS = frozenset({"step", "kind"})
"""What a record says of itself: the step is the row's, and metrics are named after their kind."""


@dataclass(frozen=True)
class Row:
    """Everything recorded at one step: of training, and of the evaluation after it."""

    step: int
    values: dict[str, Any] = field(default_factory=dict)


class Rows:
    """Puts records into rows above step `after`, in order, each step once.

    A row is whole when a record of a later step comes, or when `rest` says that none will. Where the
    file is read anew, because a resumed run cut it back, what was given out is not given again, even
    where the second training of a step measured something else.
    """

    def __init__(self, after: int) -> None:
        self.last = after
        """The last step that was given out."""
        self._open: Row | None = None

    def add(self, record: Mapping[str, Any]) -> Iterator[Row]:
        """Take one record; a record without a step belongs to no row."""
        step = record.get("step")
        if not isinstance(step, int):
            return
        if self._open is not None and step > self._open.step:
            yield from self.rest()
        elif self._open is not None and step < self._open.step:
            self._open = None  # the file is read anew: the row comes again, if it still stands
        if step > self.last:
            self._open = self._open or Row(step)
            self._open.values.update(
                {key: value for key, value in record.items() if key not in NOT_METRICS and value is not None}
            )

    def rest(self) -> Iterator[Row]:
        """The row that was still open."""
        if self._open is not None:
            row, self._open = self._open, None
            self.last = row.step
            yield row


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
