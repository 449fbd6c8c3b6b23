"""Who asks a batch to stop: a person at the terminal, the system, or `trm stop --all`."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal


class StopRequests:
    """The requests so far. True once there is one."""

    def __init__(self, stop_file: Path | None = None) -> None:
        self._file = stop_file
        self._signals: list[signal.Signals] = []
        self._answered = 0

    def __bool__(self) -> bool:
        return bool(self._signals)

    def news(self) -> Literal["stop", "end"] | None:
        """What was asked since the last call: to stop, or, by a second Ctrl-C, to end at once."""
        if self._file is not None and not self._signals and self._file.exists():
            self._signals.append(signal.SIGTERM)
        if self._answered == len(self._signals):
            return None
        self._answered = len(self._signals)
        return "stop" if self._answered == 1 else "end"

    @property
    def exit_status(self) -> int:
        """130 after Ctrl-C, as the shell has it; else 75 (EX_TEMPFAIL): the same command goes on."""
        return 130 if signal.SIGINT in self._signals else 75

    def hear(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals."""
        # Repeated requests of the system are one; only a person who asks again means it.
        if number == signal.SIGINT or not self._signals:
            self._signals.append(signal.Signals(number))


@contextmanager
def stop_requests(stop_file: Path) -> Iterator[StopRequests]:
    """Hear requests for the block: SIGINT, SIGTERM, and the appearance of `stop_file`.

    The closing of the terminal (SIGHUP) is no request. Outside the main thread signals stay as they are.
    """
    requests = StopRequests(stop_file)
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    before = {number: signal.signal(number, requests.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
