"""Where a run's seconds went, across resumes."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager


class Clock:
    """Seconds by purpose. They are saved with every checkpoint, so a resumed run goes on counting."""

    def __init__(self, spent: Mapping[str, float] | None = None) -> None:
        self._spent: dict[str, float] = dict(spent or {})
        self._started: dict[str, float] = {}

    @contextmanager
    def measure(self, purpose: str) -> Iterator[None]:
        """Add the time of the block to `purpose`."""
        self._started[purpose] = time.perf_counter()
        try:
            yield
        finally:
            began = self._started.pop(purpose)
            self._spent[purpose] = self._spent.get(purpose, 0.0) + time.perf_counter() - began

    def seconds(self, purpose: str) -> float:
        """Seconds spent on `purpose` so far, a running block included."""
        running = self._started.get(purpose)
        return self._spent.get(purpose, 0.0) + (time.perf_counter() - running if running else 0.0)

    def total(self) -> float:
        """Seconds of the run so far."""
        return sum(self.seconds(purpose) for purpose in {*self._spent, *self._started})

    def spent(self) -> dict[str, float]:
        """Seconds by purpose, to be saved."""
        return {purpose: self.seconds(purpose) for purpose in sorted({*self._spent, *self._started})}


@contextmanager
def measure_all(clocks: Iterable[Clock], purpose: str) -> Iterator[None]:
    """Add the time of the block to `purpose` on every clock: runs that train together share their time."""
    with ExitStack() as measured:
        for clock in clocks:
            measured.enter_context(clock.measure(purpose))
        yield
