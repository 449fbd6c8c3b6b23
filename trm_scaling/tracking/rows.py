"""From the records of `metrics.jsonl` to the rows of a tracking service, which takes each step once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
