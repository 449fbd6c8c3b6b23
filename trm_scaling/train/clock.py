"""Where a run's seconds went, across resumes, and what else the machine did meanwhile."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from trm_scaling.io.machine import others_cpu_seconds

TRAIN = "train"
OTHERS = "others"
"""Not a purpose: core-seconds that other processes took while the run trained, a core of the machine
counted as one in all."""


class Clock:
    """Seconds by purpose. They are saved with every checkpoint, so a resumed run goes on counting."""

    def __init__(self, spent: Mapping[str, float] | None = None) -> None:
        self._spent: dict[str, float] = dict(spent or {})
        self._others: float | None = self._spent.pop(OTHERS, None)
        self._started: dict[str, float] = {}

    @contextmanager
    def measure(self, purpose: str) -> Iterator[None]:
        """Add the time of the block to `purpose`."""
        before = others_cpu_seconds() if purpose == TRAIN else None
        self._started[purpose] = time.perf_counter()
        try:
            yield
        finally:
            began = self._started.pop(purpose)
            self._spent[purpose] = self._spent.get(purpose, 0.0) + time.perf_counter() - began
            if before is not None and (after := others_cpu_seconds()) is not None:
                self._others = (self._others or 0.0) + (after - before) / (os.cpu_count() or 1)

    def seconds(self, purpose: str) -> float:
        """Seconds spent on `purpose` so far, a running block included."""
        running = self._started.get(purpose)
        return self._spent.get(purpose, 0.0) + (time.perf_counter() - running if running else 0.0)

    def total(self) -> float:
        """Seconds of the run so far."""
        return sum(self.seconds(purpose) for purpose in {*self._spent, *self._started})

    def spent(self) -> dict[str, float]:
        """Seconds by purpose, to be saved, and `OTHERS` where it is known."""
        seconds = {purpose: self.seconds(purpose) for purpose in sorted({*self._spent, *self._started})}
        return seconds if self._others is None else {**seconds, OTHERS: self._others}

    def other_load(self) -> float | None:
        """Share of the machine's cores that other processes kept busy while the run trained.

        None where the system does not say, or nothing was trained.
        """
        if self._others is None or not (trained := self.seconds(TRAIN)):
            return None
        return min(1.0, max(0.0, self._others / trained))


@contextmanager
def measure_all(clocks: Iterable[Clock], purpose: str) -> Iterator[None]:
    """Add the time of the block to `purpose` on every clock: runs that train together share their time."""
    with ExitStack() as measured:
        for clock in clocks:
            measured.enter_context(clock.measure(purpose))
        yield
